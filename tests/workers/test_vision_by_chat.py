"""Vision tasks by chat: the chat model's answer about each image, as the task's own response."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import BadImage, ContextTooLong
from contract.image_loading import open_image
from contract.media import ImageInput
from contract.tasks import all_tasks
from contract.tasks.analyze import DESCRIPTIONS, PROMPTS
from tests.support import worker_process
from tests.support.chat_engines import ask, drawn_image, text, with_images
from tests.support.odd_images import ODD_IMAGES, OddImage, encoded
from tests.workers.test_app import CHAT, chat, events, gated, wait_until
from workers.batcher import Batcher
from workers.engine import Call, Engine, Options
from workers.interviewer import Interviewer
from workers.registry import find_engine
from workers.served_tasks import served_by, tasks_of_loaded
from workers.vision_by_chat import conversions

CAPTION, OCR, ANALYZE = "/v1/vision/caption", "/v1/vision/ocr", "/v1/vision/analyze"
RED, BLUE = drawn_image("red", (80, 60)), drawn_image("blue", (60, 80))
SENT = {"red": ImageInput(encoded(RED)), "blue": ImageInput(encoded(BLUE))}
GREEDY = {"temperature": 0, "max_tokens": 8}


@pytest.fixture(scope="module")
def engine(chat_engine: Callable[[str], Engine]) -> Engine:
    return chat_engine("smolvlm")


@pytest.fixture
def batcher(engine: Engine) -> Iterator[Batcher]:
    running = Batcher(engine, Options(), lambda: None)
    thread = threading.Thread(target=running.run)
    thread.start()
    yield running
    running.stop()
    thread.join(60)


Answer = Callable[..., Any]


@pytest.fixture
def answer(engine: Engine, batcher: Batcher) -> Answer:
    """`answer("caption", image=…)`: the task's response, with defaults that are greedy and short."""

    async def answered(name: str, defaults: dict[str, Any] = GREEDY, **fields: Any) -> Any:
        task = all_tasks()[name]
        call = Call(task.request.model_validate(fields))
        interviewer = Interviewer(batcher, "seeing", defaults)
        return await asyncio.wait_for(interviewer.answer(served_by(type(engine))[name], call), 60)

    return answered


def chat_answer(engine: Engine, question: str, image: Any, tokens: int = 8) -> str:
    """The engine's answer to the question as a chat request."""
    answer = text(ask(engine, with_images(question, image), max_tokens=tokens)).strip()
    assert answer
    return answer


async def test_caption_is_the_chat_answer_per_image(answer: Answer, engine: Engine) -> None:
    response = await answer("caption", images=[SENT["red"], SENT["blue"]])
    assert (response.model, response.usage.images) == ("seeing", 2)
    assert [(item.index, item.width, item.height) for item in response.data] == [(0, 80, 60), (1, 60, 80)]
    captions = [chat_answer(engine, PROMPTS["caption"], image) for image in (RED, BLUE)]
    assert [item.text for item in response.data] == captions
    assert captions[0] != captions[1]


async def test_uses_the_clients_prompt_and_max_tokens(answer: Answer, engine: Engine) -> None:
    [item] = (await answer("caption", image=SENT["red"], prompt="Which colour?", max_tokens=11)).data
    assert item.text == chat_answer(engine, "Which colour?", RED, tokens=11)
    [longer] = (await answer("caption", {"temperature": 0, "max_completion_tokens": 3}, image=SENT["red"])).data
    assert longer.text == chat_answer(engine, PROMPTS["caption"], RED, tokens=3)


async def test_ocr_by_chat_has_no_lines(answer: Answer, engine: Engine) -> None:
    [item] = (await answer("ocr", image=SENT["blue"])).data
    assert (item.text, item.lines, item.truncated) == (chat_answer(engine, PROMPTS["ocr"], BLUE), [], True)


@pytest.mark.parametrize("name", PROMPTS)
async def test_analysis_asks_its_named_question(name: str, answer: Answer, engine: Engine) -> None:
    response = await answer("analyze", image=SENT["blue"], task=name)
    assert (response.task, response.text) == (name, chat_answer(engine, PROMPTS[name], BLUE))
    assert response.usage.completion_tokens == 8
    assert response.usage.total_tokens == response.usage.prompt_tokens + 8


async def test_analysis_asks_the_clients_question(answer: Answer, engine: Engine) -> None:
    response = await answer("analyze", image=SENT["red"], prompt="How many?")
    assert (response.task, response.text) == ("custom", chat_answer(engine, "How many?", RED))


@pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
async def test_odd_image_is_seen_upright_in_rgb(odd: OddImage, answer: Answer, engine: Engine) -> None:
    [item] = (await answer("caption", image=odd.uri)).data
    assert (item.width, item.height) == odd.size
    assert item.text == chat_answer(engine, PROMPTS["caption"], open_image(ImageInput(odd.plain_uri)))


async def test_error_of_one_image_cancels_the_other_questions(answer: Answer) -> None:
    broken = ImageInput(encoded(RED)[:-200])  # its header is intact
    with pytest.raises(BadImage, match="damaged"):
        await answer("caption", images=[broken, *[SENT["blue"]] * 3], max_tokens=4000)
    whole = await answer("caption", image=SENT["red"])  # without waiting for the 4000 tokens of the others
    assert whole.data[0].text


async def test_error_names_a_field_that_the_client_sent(answer: Answer) -> None:
    with pytest.raises(ContextTooLong) as refused:
        await answer("caption", image=SENT["red"], prompt="far " * 20_000)
    assert refused.value.param == "prompt"


async def test_cancelled_caller_cancels_its_questions(answer: Answer) -> None:
    asking = asyncio.create_task(answer("caption", images=[SENT["red"]] * 2, max_tokens=4000))
    await answer("caption", image=SENT["blue"])  # by now the others are being decoded
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await answer("caption", image=SENT["blue"])).data[0].text


def test_finds_one_conversion_per_file() -> None:
    assert set(conversions()) == {"analyze", "caption", "ocr"}
    assert set(DESCRIPTIONS) == {*PROMPTS, "custom"}


def test_engine_method_takes_precedence_over_chat() -> None:
    served = served_by(find_engine("fake"))
    assert served["ocr"].via_chat is None
    assert served["caption"].via_chat is served["chat"]
    assert "caption" not in served_by(find_engine("sentence_transformers"))


def test_model_without_vision_serves_no_vision_task(chat_engine: Callable[[str], Engine]) -> None:
    spec = ModelSpec(id="m", engine="transformers_chat", source="x")
    of_text = ("chat", "completions", "detokenize", "tokenize")
    assert tasks_of_loaded(spec, chat_engine("lm")) == of_text
    seeing = tasks_of_loaded(spec, chat_engine("smolvlm"))
    assert seeing == ("analyze", "caption", "chat", "completions", "detokenize", "ocr", "tokenize")
    assert tasks_of_loaded(spec.model_copy(update={"tasks": ("caption",)}), chat_engine("lm")) == ()


# In a worker of its own ---------------------------------------------------------------------------------------------


def sent(colour: str = "red") -> str:
    return SENT[colour].as_text()


def test_questions_are_batched_with_other_chat() -> None:
    entry = {"engine": "fake", "options": {"batch_window_ms": 1000, "max_batch": 4}, "defaults": {"max_tokens": 2}}
    with worker_process.worker(entry) as worker, concurrent.futures.ThreadPoolExecutor() as pool:

        def is_one_batch() -> bool:
            caption = pool.submit(worker.post, CAPTION, {"images": [sent(), sent("blue")]})
            analysis = pool.submit(worker.post, ANALYZE, {"image": sent(), "task": "custom", "prompt": "What is it?"})
            other = pool.submit(worker.post, CHAT, chat("hello", stream=True))
            assert [item["text"] for item in caption.result(30).json()["data"]] == ["Write one"] * 2
            assert analysis.result(30).json().items() >= {"task": "custom", "text": "What is"}.items()
            assert "server-timing" in caption.result(30).headers
            return bool(json.loads(events(other.result(30))[0])["batch"] == 4)

        wait_until(is_one_batch)  # a busy machine may send the last one when the window has closed


def test_disconnect_cancels_all_questions(tmp_path: Path) -> None:
    with worker_process.worker(gated(tmp_path)) as worker:
        with worker.disconnecting_client(CAPTION, {"images": [sent()] * 3}, "gone"):
            wait_until((tmp_path / "gone").exists)
        wait_until((tmp_path / "gone.cancelled").exists)
        (tmp_path / "go").touch()
        assert worker.post(CAPTION, {"image": sent()}).json()["data"][0]["text"]


def test_refuses_tasks_that_the_loaded_model_lacks() -> None:
    worker = worker_process.Worker()
    try:
        worker.assign({"engine": "fake", "options": {"lacks": ["images"]}})
        ready = worker.wait_for("ready")
        assert ready["tasks"] == ["chat", "completions", "embeddings", "image-generation", "ocr", "rerank"]
        refused = worker.post(CAPTION, {"image": sent()})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_task")
    finally:
        worker.close()
