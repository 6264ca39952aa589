"""What every engine must do, the fake included. A new engine adds its cases to `CASES`."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks import all_tasks
from tests.conftest import Models
from tests.support.batching import feed_of
from tests.support.engine_cases import (
    Case,
    ask,
    chat,
    content,
    detect,
    documents,
    draw,
    say,
    segment,
    text_image,
)
from tests.support.recordings import wav
from workers.engine import Call, Device, Engine
from workers.registry import engine_names, find_engine

TESTED_ELSEWHERE = {"command", "crawl", "kokoro", "mlx_kokoro"}
"""An external server is no model in a worker, a crawler needs web sites, and Kokoro's library is not there for every
Python."""


POISON = {"fail_on_prompt": "poison"}
CAMERA = {"fx": 100, "fy": 100, "cx": 60, "cy": 30}
EXACT = {"threads": 1, "batch_size": 1}
"""For answers in base64, which are compared byte by byte: batched ones differ by about 1e-5."""
SIZE = (150, 90)
"""Another size than that of the first image: an answer does not depend on what else is in its batch."""
IMAGES = (
    {"image": text_image("Hello")},
    {"image": text_image("World", SIZE)},
    {"image": "data:image/png;base64,abcde"},
)
LONGER = "a longer text, about many dogs"
RECORDINGS = tuple({"file": b64encode(file).decode()} for file in (wav(1), wav(3, seed=1), b"no recording"))
EARS = {"threads": 1, "fallback_temperatures": []}
IMAGE_PART = {"type": "image_url", "image_url": {"url": text_image("Hello")}}


def chat_only(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


CASES = [
    Case("fake", "chat", chat("hello you"), chat("hello they"), chat("poison"), options=POISON),
    Case("fake", "embeddings", {"input": "a"}, {"input": "b"}, {"input": "poison"}, options=POISON),
    Case("fake", "image-generation", draw("cat"), draw("dog"), draw("poison"), options=POISON),
    Case("fake", "ocr", *IMAGES),
    Case("rapidocr", "ocr", *IMAGES, options={"threads": 1}),
    Case("depth_anything", "depth", *IMAGES, model="depth_metric", options=EXACT),
    Case("depth_anything", "pointcloud", *({**image, "camera_intrinsics": CAMERA} for image in IMAGES),
         model="depth_metric", options=EXACT),
    Case("dino", "features", *IMAGES, model="dinov2", options={"threads": 1}),
    Case("blip", "caption", *IMAGES, model="blip", options={"threads": 1}),
    Case("moondream", "chat", chat("hello you"), chat("hello they"), chat("far " * 20_000), model="moondream",
         trusted=True),
    Case("fake", "completions", {"prompt": "a"}, {"prompt": "b"}, {"prompt": "poison"}, options=POISON),
    Case("transformers_chat", "completions", {"prompt": "a cat"}, {"prompt": "a dog"}, {"prompt": "far " * 20_000},
         model="lm", options={"threads": 1}),
    Case("transformers_chat", "tokenize", {"prompt": "hello"}, chat_only("you"), chat_only([IMAGE_PART]), model="lm",
         options={"threads": 1}),
    Case("transformers_chat", "detokenize", {"tokens": [70]}, {"tokens": [71, 72]}, {"tokens": [2**31 - 1]}, model="lm",
         options={"threads": 1}),
    Case("moondream", "caption", *IMAGES, model="moondream", trusted=True),
    Case("moondream", "detect", detect("cat"), detect("remote control"), detect(None), model="moondream",
         trusted=True),
    Case("sentence_transformers", "embeddings", {"input": "a cat"}, {"input": LONGER},
         {"input": "a cat", "dimensions": 10**6}, model="minilm", options={"threads": 1}),
    Case("fake", "rerank", documents("a cat", "a dog"), documents("dogs"), documents("poison"), options=POISON),
    Case("cross_encoder", "rerank", documents("a cat", "a dog"), documents(LONGER),
         documents("a", "far " * 99, truncate=False), model="bge_reranker", options={"threads": 1}),
    Case("transformers_chat", "chat", chat("hello you"), chat("hello they"), chat("far " * 20_000), model="lm"),
    Case("diffusers_image", "image-generation", draw("cat"), draw("dog"), draw("cat", size="17x17"),
         model="sd", options={"threads": 1}),
    Case("diffusers_image", "image-edit", *(draw("cat", **sent) for sent in IMAGES),
         model="sd", options={"threads": 1}),
    Case("diffusers_image", "image-variation", *(draw("", **sent) for sent in IMAGES),
         model="sd", options={"threads": 1}),
    Case("mlx", "chat", chat("hello you"), chat("hello they"), chat("far " * 20_000), model="mlx_smolvlm"),
    Case("mlx", "embeddings", {"input": "a cat"}, {"input": LONGER}, {"input": "a cat", "dimensions": 10**6},
         model="mlx_minilm"),
    Case("whisper", "transcription", *RECORDINGS, model="whisper", options=EARS),
    Case("whisper", "translation", *RECORDINGS, model="whisper", options=EARS),
    Case("mlx_whisper", "transcription", *RECORDINGS, model="mlx_whisper", options={"fallback_temperatures": []}),
    Case("vits", "speech", say("hello you"), say("hello they. And you"), say("3 + 4"), model="vits",
         options={"threads": 1}),
    Case("transformers_ocr", "ocr", *IMAGES, model="trocr", options={"threads": 1, "max_tokens": 8}),
    Case("transformers_detect", "detect", detect("cat"), detect("remote control"), detect(None),
         model="grounding_dino", options={"threads": 1}),
    Case("transformers_segment", "segment", segment(30, 30), segment(90, 20), segment(500, 30), model="sam2",
         options={"threads": 1}),
]  # fmt: skip


@pytest.fixture(scope="module")
def load(models: Models, request: pytest.FixtureRequest) -> Callable[[Case], Engine]:
    """Loads the case's engine with its model, once."""

    @cache
    def loaded(name: str, tasks: tuple[str, ...], model: str | None, options: str, trusted: bool) -> Engine:
        source = str(models(model)) if model else ""
        entry = {"id": "case", "engine": name, "tasks": tasks, "source": source, "trust_remote_code": trusted}
        spec = ModelSpec.model_validate({**entry, "options": json.loads(options)})
        engine = find_engine(name)()
        engine.load(spec, Device("cpu", "float32"))
        return engine

    def load_for(case: Case) -> Engine:
        named = (case.task,) if case.task in find_engine(case.engine).opt_in_tasks else ()
        if case.trusted:
            request.getfixturevalue("model_code")
        return loaded(case.engine, named, case.model, json.dumps(case.options), case.trusted)

    return load_for


_ALONE: dict[tuple[str, str], Any] = {}


async def alone(engine: Engine, case: Case, which: str) -> Any:
    """The answer to the case's `first` or `second` request without others in its batch; cached."""
    key = (str(case), which)
    if key not in _ALONE:
        [answer] = await ask(engine, case, getattr(case, which))
        assert isinstance(answer, all_tasks()[case.task].response)
        _ALONE[key] = content(answer)
    return _ALONE[key]


@pytest.mark.parametrize("name", engine_names())
def test_description_is_complete(name: str) -> None:
    """tests/workers/test_describe.py checks that describing imports no model library."""
    engine = find_engine(name)
    assert engine.__doc__
    assert engine.served()
    assert engine.devices
    assert all(isinstance(each, str) for each in (*engine.features, *engine.imports))


def test_every_engine_has_a_case() -> None:
    assert {case.engine for case in CASES} == set(engine_names()) - TESTED_ELSEWHERE


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_answers_have_their_type_and_depend_on_the_request(case: Case, load: Callable[[Case], Engine]) -> None:
    engine = load(case)
    assert await alone(engine, case, "first") != await alone(engine, case, "second")


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_batched_answers_equal_those_given_alone(case: Case, load: Callable[[Case], Engine]) -> None:
    engine = load(case)
    first, bad, second = await ask(engine, case, case.first, case.bad, case.second)
    assert isinstance(bad, ServeError)
    assert len(bad.message) > 20
    assert content(first) == await alone(engine, case, "first")
    assert content(second) == await alone(engine, case, "second")


def run(engine: Engine, case: Case, call: Call[Any]) -> Iterator[tuple[Call[Any], Any]]:
    """The method's own answers, without a batcher."""
    served = engine.served()[case.task]
    answers: Iterator[tuple[Call[Any], Any]] = getattr(engine, served.method)(
        feed_of([call]) if served.joins else [call]
    )
    return answers


@pytest.mark.parametrize("case", [case for case in CASES if case.task == "chat"], ids=str)
def test_chat_engine_reports_joins(case: Case, load: Callable[[Case], Engine]) -> None:
    joins = load(case).joins
    assert joins is not None
    assert str(joins) == "yes" or str(joins).startswith("no, because ")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cancelled_calls_get_no_work(case: Case, load: Callable[[Case], Engine]) -> None:
    engine, task = load(case), all_tasks()[case.task]
    call = Call(task.request.model_validate(case.first))
    call.cancel()
    assert not [answer for _, answer in run(engine, case, call) if isinstance(answer, BaseModel)]


@pytest.mark.parametrize("case", [case for case in CASES if all_tasks()[case.task].chunk], ids=str)
def test_cancelling_ends_a_stream(case: Case, load: Callable[[Case], Engine]) -> None:
    engine, task = load(case), all_tasks()[case.task]
    call = Call(task.request.model_validate({**case.first, "max_tokens": 500}))
    answers = run(engine, case, call)
    assert isinstance(next(answers)[1], BaseModel)
    call.cancel()
    assert len([answer for _, answer in answers if isinstance(answer, BaseModel)]) <= 1
