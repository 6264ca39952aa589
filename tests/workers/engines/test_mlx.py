"""MLX's chat, on the CPU: answers equal those of transformers and of MLX's own libraries for the same weights."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import BadImage, ServeError
from tests.support import chat_engines
from tests.support.batching import feed_of
from tests.support.chat_engines import CPU, ask, drawn_image, image_part, request, run, text, whole, with_images
from tests.workers.engines.test_transformers_chat import reference
from workers.engine import Call, Device
from workers.registry import find_engine
from workers.served_tasks import tasks_of

FAMILIES = ["lm", "llama", "qwen2_5_vl", "smolvlm", "idefics3", "llava"]
VISION = FAMILIES[2:]
RED, BLUE, TALL = drawn_image("red"), drawn_image("blue"), drawn_image("green", (100, 190))

Engines = Callable[[str], Any]


def load(source: Any, device: Device = CPU, **entry: Any) -> Any:
    return chat_engines.load(source, "mlx", device, **entry)


@pytest.fixture(scope="module")
def engines(models: Callable[[str], Path]) -> Engines:
    return cache(lambda family: load(models(f"mlx_{family}")))


@pytest.fixture
def engine(engines: Engines) -> Any:
    return engines("lm")


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answer_equals_transformers(family: str, engines: Engines, models: Any) -> None:
    assert text(ask(engines(family), "What is this, 네?", max_tokens=24)) == reference(
        models(family), "What is this, 네?", [], 24
    )


@pytest.mark.parametrize("family", VISION)
@pytest.mark.parametrize("images", [[RED], [RED, TALL]], ids=["one", "two"])
def test_greedy_with_images_is_what_transformers_says(
    family: str, images: list[Any], engines: Engines, models: Any
) -> None:
    answer = ask(engines(family), with_images("Compare.", *images), max_tokens=24)
    assert text(answer) == reference(models(family), "Compare.", images, 24)


def test_greedy_answer_equals_mlx_lm(engine: Any, models: Any) -> None:
    import mlx_lm

    model, tokenizer = mlx_lm.load(str(models("mlx_lm")))
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], add_generation_prompt=True)
    assert text(ask(engine, "Hello", max_tokens=24)) == mlx_lm.generate(model, tokenizer, prompt, max_tokens=24)


def test_greedy_answer_with_an_image_equals_mlx_vlm(engines: Engines, models: Any) -> None:
    import mlx_vlm

    from workers.engines.mlx.loading import own_processors

    with own_processors():
        model, processor = mlx_vlm.load(str(models("mlx_qwen2_5_vl")), trust_remote_code=False)
    content = [{"type": "image"}, {"type": "text", "text": "What?"}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    pieces = mlx_vlm.stream_generate(model, processor, prompt, image=[RED], max_tokens=24, temperature=0.0)
    tokens = [piece.token for piece in pieces][:24]  # the last piece repeats the last token
    answer = ask(engines("qwen2_5_vl"), with_images("What?", RED), max_tokens=24)
    assert text(answer) == processor.tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_answers_equal_single_ones(family: str, engines: Engines) -> None:
    """Requests with and without images, of different lengths, so that rows join and finish at different steps."""
    words = ["Hi", "What is a rather long question, in so many words?", "Say more", "And you?"]
    contents: list[Any] = list(words)
    if family in VISION:
        contents[::2] = [with_images(words[0], RED), with_images(words[2], BLUE, TALL)]
    requests = [request(item, max_tokens=limit) for item, limit in zip(contents, [3, 30, 12, 1], strict=True)]
    together = [text(whole(pieces)) for pieces in run(engines(family), *requests)]
    assert together == [text(whole(run(engines(family), item)[0])) for item in requests]


@pytest.mark.parametrize("family", VISION)
def test_answer_depends_on_image_and_text(family: str, engines: Engines) -> None:
    contents = [with_images("What?", RED), with_images("What?", BLUE), with_images("Where?", RED)]
    assert len({text(ask(engines(family), content, max_tokens=24)) for content in contents}) == 3


@pytest.mark.parametrize("family", ["lm", "qwen2_5_vl"])
def test_joined_short_answer_does_not_wait(family: str, engines: Engines) -> None:
    content = with_images("Hm?", RED) if family in VISION else "Hm?"
    long, short = Call(request("Hello", max_tokens=40)), Call(request(content, max_tokens=3))
    waiting, unsent = deque([long]), [short]
    pieces: dict[int, list[Any]] = {id(long): [], id(short): []}
    finished = []
    for call, piece in engines(family).chat(feed_of(waiting)):
        pieces[id(call)].append(piece)
        if piece is None:
            finished.append(call)
        if long.done >= 5 and unsent:
            waiting.append(unsent.pop())
    assert finished == [short, long]
    for call in (long, short):
        assert text(whole(pieces[id(call)])) == text(whole(run(engines(family), call.request)[0]))


def test_failing_joined_request_fails_alone(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the error is raised by the library while it reads the prompt."""
    engine = engines("smolvlm")
    broken = image_part(RED)
    broken["image_url"]["url"] = broken["image_url"]["url"][:-400]
    embed = engine._chat.prompts._embed

    def failing(inputs: Any) -> Any:
        if inputs.get("pixel_values") is not None:
            raise RuntimeError("the vision tower failed")
        return embed(inputs)

    monkeypatch.setattr(engine._chat.prompts, "_embed", failing)
    good, damaged, failed = run(engine, request("Hello"), request([broken]), request(with_images("Hm?", RED)))
    monkeypatch.undo()
    assert text(whole(good)) == text(ask(engine, "Hello"))
    assert isinstance(damaged[0], BadImage)
    assert isinstance(failed[0], ServeError)
    assert "the vision tower failed" in failed[0].message


def test_many_choices_do_not_block_a_first_choice(engine: Any) -> None:
    many, single = Call(request("Hello", n=12, max_tokens=3)), Call(request("Hi", max_tokens=4))
    waiting, unsent = deque([many]), [single]
    finished = []
    for call, piece in engine.chat(feed_of(waiting, limit=2)):
        if unsent:
            waiting.append(unsent.pop())
        if piece is None:
            finished.append(call)
    assert finished == [single, many]


def test_recommended_sampling_is_the_default(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unset() -> str:
        return text(ask(engine, "Hello", temperature=None, max_tokens=None))

    monkeypatch.setitem(engine._chat.recommended, "max_new_tokens", 12)
    greedy = unset()
    monkeypatch.setitem(engine._chat.recommended, "repetition_penalty", 5.0)
    assert unset() != greedy
    monkeypatch.setitem(engine._chat.recommended, "repetition_penalty", 1.0)
    monkeypatch.setitem(engine._chat.recommended, "do_sample", True)
    assert len({unset() for _ in range(3)}) > 1
    monkeypatch.setitem(engine._chat.recommended, "top_k", 1)
    assert unset() == greedy


@pytest.mark.parametrize("warper", [{"top_k": 1}, {"min_p": 1.0}])
def test_recommended_top_k_and_min_p_are_applied(
    warper: dict[str, float], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in warper.items():
        monkeypatch.setitem(engine._chat.recommended, name, value)
    assert text(ask(engine, "Hello", temperature=1)) == text(ask(engine, "Hello"))


@pytest.mark.parametrize(("quantization", "error"), [("4bit", 0.5), ("8bit", 0.05)])
@pytest.mark.parametrize("family", ["lm", "smolvlm"])
def test_quantised_weights_are_smaller_and_similar(
    family: str, quantization: str, error: float, engines: Engines, models: Any
) -> None:
    import mlx.core as mx
    from mlx.utils import tree_flatten

    small = load(models(f"mlx_{family}"), options={"quantization": quantization})
    assert text(ask(small, "Hello"))
    plain, packed = (engine._chat.loaded.model for engine in (engines(family), small))
    size = [sum(weights.nbytes for _, weights in tree_flatten(model.parameters())) for model in (plain, packed)]
    assert size[1] < size[0]
    tokens = mx.arange(1, 9)[None]
    exact, near = (
        (model.language_model(tokens).logits if family in VISION else model(tokens)) for model in (plain, packed)
    )
    assert float(abs(exact - near).mean() / abs(exact).mean()) < error


def test_missing_gpu_falls_back_to_the_cpu(models: Any, engine: Any) -> None:
    other = load(models("mlx_lm"), Device("mlx", "auto"))
    assert text(ask(other, "Hello")) == text(ask(engine, "Hello"))


def test_other_dtypes(models: Any) -> None:
    import mlx.core as mx

    half = load(models("mlx_smolvlm"), Device("cpu", "bfloat16"))
    assert half._chat.loaded.model.language_model.lm_head.weight.dtype == mx.bfloat16
    assert text(ask(half, with_images("Hm?", RED)))


def test_processors_of_transformers_are_unchanged(engines: Engines, models: Any) -> None:
    from transformers import AutoProcessor

    assert "mlx" in type(engines("qwen2_5_vl")._chat.loaded.processor).__module__
    processor = AutoProcessor.from_pretrained(models("mlx_qwen2_5_vl"))
    assert type(processor).__module__.startswith("transformers.")


def test_features_depend_on_the_weights(engines: Engines) -> None:
    assert "images" in engines("smolvlm").loaded_features()
    assert "images" not in engines("lm").loaded_features()
    spec = ModelSpec(id="m", engine="mlx", source="a/b")
    assert set(tasks_of(spec, find_engine("mlx"))) == {
        "analyze", "caption", "chat", "completions", "detokenize", "ocr", "tokenize",
    }  # fmt: skip
    assert tasks_of(spec.model_copy(update={"tasks": ("embeddings",)}), find_engine("mlx")) == ("embeddings",)


def test_image_may_be_a_data_uri_or_base64(engines: Engines) -> None:
    """Both forms of the same image get the same answer."""
    uri = image_part(RED)["image_url"]["url"]
    plain = {"type": "image_url", "image_url": {"url": uri.partition(",")[2]}}
    assert base64.b64decode(plain["image_url"]["url"])
    question = {"type": "text", "text": "What?"}
    answers = {text(ask(engines("smolvlm"), [item, question])) for item in (image_part(RED), plain)}
    assert len(answers) == 1


def test_requests_share_steps(engines: Engines) -> None:
    engine = engines("lm")
    engine.meter.take()
    run(engine, *(request(word, max_tokens=8) for word in ("Hi", "Say more", "And you?")))
    assert str(engine.joins) == "yes"
    assert "3" in engine.meter.take()["steps"]


@pytest.mark.parametrize("family", ["lm", "llama"])
def test_second_turn_reuses_the_first(family: str, models: Any) -> None:
    engine, uncached = load(models(f"mlx_{family}")), load(models(f"mlx_{family}"), options={"prefix_cache_gb": 0})
    story = "Tell me a rather long story, in so many words that it takes a while."
    answer = text(ask(engine, story, max_tokens=20))
    engine.meter.take()
    assistant = {"role": "assistant", "content": answer}
    turns = [{"role": "user", "content": story}, assistant, {"role": "user", "content": "And then?"}]
    for fields in ({}, {"n": 3, "temperature": 1, "seed": 5}, {"frequency_penalty": 1.5}):
        chat_request = request("", messages=turns, max_tokens=20, **fields)
        answers = [whole(run(loaded, chat_request)[0]) for loaded in (engine, uncached)]
        count = len(answers[0].choices)
        cached = [answer.usage.prompt_tokens_details.cached_tokens for answer in answers]
        assert cached[0] > len(story)
        assert cached[1] == 0
        assert [text(answers[0], n) for n in range(count)] == [text(answers[1], n) for n in range(count)]
    counts = engine.meter.take()
    assert counts["tokens"]["reused"] > len(story)
    assert counts["held"]["prefix_cache"] > 0
    assert uncached.meter.take()["tokens"]["reused"] == 0


def test_last_answer_of_a_batch_is_kept(models: Any) -> None:
    """The batcher closes the generator when no client needs more output."""
    engine = load(models("mlx_lm"))
    for _, piece in (answers := engine.chat(feed_of([Call(request("Hello", max_tokens=40))]))):
        if piece is None:
            break
    answers.close()
    assert engine.meter.take()["held"]["prefix_cache"] > 0


@pytest.mark.parametrize("limit", [0, 0.25])
def test_buffers_kept_for_later_are_bounded_and_counted(limit: float, models: Any) -> None:
    import mlx.core as mx

    engine = load(models("mlx_lm"), options={"buffer_cache_gb": limit})
    assert mx.set_cache_limit(int(limit * 2**30)) == int(limit * 2**30)
    answers = engine.chat(feed_of([Call(request("Hello", max_tokens=40, ignore_eos=True))]))
    kept = [engine.meter.take().get("held", {}).get("buffer_cache", 0) for _ in answers]
    assert (max(kept) > 0) == (limit > 0)
    assert max(kept) <= limit * 2**30
    assert mx.get_cache_memory() == engine.meter.held["buffer_cache"] == 0
