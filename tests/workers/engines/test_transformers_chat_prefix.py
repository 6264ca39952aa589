"""Cached prefixes and images are not computed again, and the answers are the same as without caches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.tasks.chat import ChatResponse
from tests.support.batching import feed_of
from tests.support.chat_engines import ask, drawn_image, request, run, text, whole, with_images
from tests.support.joined_requests import Engines, JoinedRequests, alone, steps
from workers.engine import Call
from workers.engines.transformers_chat.feature_cache import FeatureCache
from workers.engines.transformers_chat.kv_cache import RowSnapshot
from workers.engines.transformers_chat.prefix_cache import SHORTEST, PrefixCache

KEEPS = {"prefix_cache_gb": 1, "image_cache_gb": 1, "prefill_chunk": 64}
WORDS = ["lm", "llama", "sliding", "convolving", "linear"]
VISION = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "llava", "idefics3", "paddleocr_vl"]
RED, BLUE = drawn_image("red"), drawn_image("blue")
STORY = "Tell me a rather long story, in so many words that it takes a while."


def turns(first: Any, answer: str, second: str) -> list[dict[str, Any]]:
    assistant = {"role": "assistant", "content": answer}
    return [{"role": "user", "content": first}, assistant, {"role": "user", "content": second}]


def reused(engine: Any) -> int:
    """Tokens that were reused since this was requests last."""
    tokens: dict[str, int] = engine.meter.take().get("tokens", {})
    return tokens.get("reused", 0)


def fresh(engines: Engines, family: str, **options: Any) -> Any:
    """An engine with caches, which are empty."""
    engine = engines(family, **{**KEEPS, **options})
    engine._runner.forget()
    engine.meter.take()
    return engine


@pytest.mark.parametrize("family", WORDS)
def test_second_turn_reuses_the_first(family: str, engines: Engines) -> None:
    engine = fresh(engines, family)
    first = request(STORY, max_tokens=20)
    [answer] = alone(engine, first)
    second = request("", messages=turns(STORY, answer, "And then?"), max_tokens=20)
    with steps(engine) as seen:
        answers = alone(engine, second)
    assert answers == alone(engines(family), second)
    prompt = ask(engines(family), "", messages=turns(STORY, answer, "And then?"), max_tokens=1).usage
    assert prompt is not None
    assert reused(engine) > prompt.prompt_tokens / 2
    assert sum(columns for _, columns in seen if columns > 1) < prompt.prompt_tokens / 2


@pytest.mark.parametrize("family", ["lm", "sliding", "linear", "qwen2_5_vl"])
def test_usage_tells_what_was_not_read_again(family: str, engines: Engines) -> None:
    engine = fresh(engines, family)
    content = with_images(STORY, RED) if family in VISION else STORY
    first = whole(run(engine, request(content, max_tokens=20))[0])
    assert cached(first) == 0
    second = request("", messages=turns(content, text(first), "And then?"), max_tokens=20)
    with steps(engine) as seen:
        answer = whole(run(engine, second)[0])
    usage = answer.usage
    assert usage is not None
    read = sum(columns for _, columns in seen) - (usage.completion_tokens - 1)  # the last token is not read
    assert cached(answer) == usage.prompt_tokens - read > len(STORY)


def test_usage_of_prompts_read_together(engines: Engines) -> None:
    """Each counts what was reused for it, and a prompt of several choices counts once."""
    engine = fresh(engines, "lm")
    run(engine, request(STORY * 2, max_tokens=2))
    reused(engine)
    answers = [whole(pieces) for pieces in run(engine, request("Hi", n=3), request(STORY * 2, n=2))]
    counts = [cached(answer) for answer in answers]
    assert sum(counts) == reused(engine)
    assert counts[0] < SHORTEST + 16 < len(STORY) < counts[1]


def cached(answer: ChatResponse) -> int:
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    return answer.usage.prompt_tokens_details.cached_tokens


def test_last_answer_of_a_batch_is_kept(engines: Engines) -> None:
    """The batcher closes the generator when no client needs more output."""
    engine = fresh(engines, "lm")
    call = Call(request("Hello", max_tokens=40))
    for _, piece in (answers := engine.chat(feed_of([call]))):
        if piece is None:
            break
    answers.close()
    assert engine.meter.take()["held"]["prefix_cache"] == engine._runner.prefixes.bytes > 0


@pytest.mark.parametrize("family", VISION)
def test_second_turn_does_not_encode_the_image_again(
    family: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = fresh(engines, family)
    content = with_images(STORY, RED)
    [answer] = alone(engine, request(content, max_tokens=12))
    assert reused(engine) == 0
    monkeypatch.setattr(engine._runner.family, "encode", None)
    second = request("", messages=turns(content, answer, "And then?"), max_tokens=12)
    answers = alone(engine, second)
    assert reused(engine) > len(STORY)
    assert answers == alone(engines(family), second)


@pytest.mark.parametrize("family", VISION)
def test_other_image_is_another_prefix(family: str, engines: Engines) -> None:
    engine = fresh(engines, family)
    requests = [request(with_images(STORY, image), max_tokens=16) for image in (RED, BLUE, RED)]
    assert alone(engine, *requests) == alone(engines(family), *requests)
    assert 0 < reused(engine) < len(STORY) + 200


@pytest.mark.parametrize("family", VISION)
def test_image_is_encoded_once(family: str, engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = fresh(engines, family, prefix_cache_gb=0)
    encode, encoded = engine._runner.family.encode, []
    monkeypatch.setattr(engine._runner.family, "encode", lambda images: (encoded.extend(images), encode(images))[1])
    requests = [request(with_images(words, RED), max_tokens=12) for words in ("What?", "Where is this?")]
    answers = alone(engine, *requests)
    assert len(encoded) == len({image.digest for image in encoded})
    count = len(encoded)
    assert alone(engine, *requests) == answers == alone(engines(family), *requests)
    assert len(encoded) == count


@pytest.mark.parametrize("family", ["lm", "llama", "qwen2_5_vl"])
def test_prompt_is_reused_before_its_answer_ends(family: str, engines: Engines) -> None:
    """Other requests with the same prefix arrive before the first answer is complete."""
    engine = fresh(engines, family)
    begin = [{"role": "user", "content": STORY}]
    first, *later = [
        request("", messages=[*begin, {"role": "assistant", "content": words}], max_tokens=12)
        for words in ("What?", "What?", "Where is it?")
    ]
    joined = JoinedRequests(engine, first, (3, later[0]), (4, later[1]))
    assert joined.texts == alone(engines(family), first, *later)
    assert reused(engine) > len(STORY)


def test_rows_with_different_prefixes_are_read_together(engines: Engines) -> None:
    """The rows have different lengths, and a different part of each is cached."""
    engine = fresh(engines, "lm", prefill_chunk=512)
    alone(engine, request(STORY, max_tokens=2))
    requests = [request(words, max_tokens=8) for words in (f"{STORY} Please.", "Hi", f"{STORY} In three sentences.")]
    with steps(engine) as seen:
        answers = [text(whole(pieces)) for pieces in run(engine, *requests)]
    assert seen[0][0] == 3
    assert answers == alone(engines("lm"), *requests)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 3, "temperature": 1, "seed": 5},
        {"temperature": 1, "seed": 7, "top_p": 0.9},
        {"frequency_penalty": 1.5, "presence_penalty": 0.5},
        {"stop": ["e"]},
    ],
    ids=["choices", "seed", "penalties", "stop"],
)
def test_sampling_is_the_same_after_a_reused_prefix(fields: dict[str, Any], engines: Engines) -> None:
    engine = fresh(engines, "lm")
    chat_request = request(STORY, **{"max_tokens": 12, **fields})
    answers = [whole(run(engine, chat_request)[0]) for _ in range(2)]
    assert reused(engine) > len(STORY)
    expected = whole(run(engines("lm"), chat_request)[0])
    for answer in answers:
        assert [text(answer, index) for index in range(chat_request.n or 1)] == [
            text(expected, index) for index in range(chat_request.n or 1)
        ]


def test_slid_window_is_reused_only_as_a_whole(engines: Engines) -> None:
    """The tokens before the window are not cached: a prompt that differs earlier must be read again."""
    engine = fresh(engines, "sliding")
    [answer] = alone(engine, request(STORY, max_tokens=20))
    reused(engine)
    parts = request(STORY[:40] + "?", max_tokens=12)
    assert alone(engine, parts) == alone(engines("sliding"), parts)
    assert reused(engine) == 0
    continued = request("", messages=turns(STORY, answer, "More"), max_tokens=12)
    assert alone(engine, continued) == alone(engines("sliding"), continued)
    assert reused(engine) > len(STORY)


def test_zero_keeps_nothing(engines: Engines) -> None:
    engine = engines("smolvlm")
    engine.meter.take()
    alone(engine, *[request(with_images(STORY, RED))] * 2)
    assert reused(engine) == 0
    assert engine._runner.held == {"prefix_cache": 0, "image_cache": 0}


def test_caches_stay_within_their_limits(engines: Engines) -> None:
    engine = fresh(engines, "smolvlm")
    alone(engine, request(with_images(STORY, RED)))
    held_by_one = dict(engine._runner.held)
    assert all(held_by_one.values())
    limits = {name: int(2.5 * held) for name, held in held_by_one.items()}
    engine._runner.prefixes.limit, engine._runner.features.limit = limits["prefix_cache"], limits["image_cache"]
    colours = ("blue", "green", "white", "black", "yellow")
    alone(engine, *(request(with_images(STORY, drawn_image(colour))) for colour in colours))
    assert all(0 < held <= limits[name] for name, held in engine._runner.held.items())


def test_out_of_memory_empties_the_caches(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = fresh(engines, "lm")
    alone(engine, request(STORY))
    forward = engine._model.forward

    def full(**inputs: Any) -> Any:
        if engine._runner.prefixes.bytes:
            raise MemoryError
        return forward(**inputs)

    monkeypatch.setattr(engine._model, "forward", full)
    chat_request = request("Say something else", max_tokens=4)
    assert alone(engine, chat_request) == alone(engines("lm"), chat_request)


def snapshot(tokens: int, *, is_cuttable: bool = True) -> RowSnapshot:
    return RowSnapshot(tokens, (), is_cuttable)


def put(cache: PrefixCache, keys: Any, size: int = 10, *, is_cuttable: bool = True) -> None:
    cache.put(np.array(keys), size, lambda: Sized(snapshot(len(keys), is_cuttable=is_cuttable), size))


class Sized:
    """A snapshot with a size of its own choice."""

    def __init__(self, snapshot: RowSnapshot, size: int) -> None:
        self.tokens, self.is_cuttable, self.bytes = snapshot.tokens, snapshot.is_cuttable, size


def test_longest_common_prefix_is_found() -> None:
    cache = PrefixCache(100)
    put(cache, range(40))
    put(cache, [*range(20), *range(100, 130)])
    assert cache.match(np.arange(60))[1] == 40
    assert cache.match(np.array([*range(20), *range(100, 110), 7]))[1] == 30
    assert cache.match(np.arange(40))[1] == 39, "the last token must be read"
    assert cache.match(np.arange(SHORTEST - 1)) == (None, 0)
    assert cache.match(np.arange(1000, 1100)) == (None, 0)


def test_longer_row_replaces_its_prefix() -> None:
    cache = PrefixCache(100)
    put(cache, range(40))
    put(cache, range(60))
    put(cache, range(50))
    assert cache.bytes == 10


def test_uncuttable_row_is_reused_only_as_a_whole() -> None:
    cache = PrefixCache(100)
    put(cache, range(40), is_cuttable=False)
    put(cache, range(60), is_cuttable=False)
    assert cache.bytes == 20
    assert cache.match(np.arange(100))[1] == 60
    assert cache.match(np.arange(59))[1] == 40
    assert cache.match(np.arange(39)) == (None, 0)


def test_least_recently_used_row_is_evicted() -> None:
    cache = PrefixCache(30)
    for start in (0, 100, 200):
        put(cache, range(start, start + 40))
    cache.match(np.arange(0, 50))
    put(cache, range(300, 340))
    assert cache.bytes == 30
    lengths = [cache.match(np.arange(start, start + 50))[1] for start in (0, 100, 200, 300)]
    assert lengths == [40, 0, 40, 40]
    put(cache, range(400, 440), size=31)
    assert cache.match(np.arange(400, 450)) == (None, 0), "a row that exceeds the limit is not cached"


def test_features_stay_within_their_limit() -> None:
    import torch

    cache = FeatureCache(100)
    for name in (b"a", b"b"):
        cache.put(name, torch.zeros(10, dtype=torch.float32))
    cache.get(b"a")
    cache.put(b"c", torch.zeros(10, dtype=torch.float32))
    assert [cache.get(name) is not None for name in (b"a", b"b", b"c")] == [True, False, True]
    assert cache.bytes == 80
