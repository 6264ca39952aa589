"""Long prompts are read in chunks between decode steps, with the same answer as when they are read whole."""

from __future__ import annotations

import itertools

import pytest

from tests.support.batching import feed_of
from tests.support.chat_engines import drawn_image, request, run, text, whole, with_images
from tests.support.joined_requests import Engines, JoinedRequests, alone, steps
from workers.engine import Call
from workers.engines.transformers_chat.chunk_sizer import SHORTEST, ChunkSizer

WORDS = ["lm", "llama", "sliding", "convolving", "linear", "mamba"]
VISION = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "llava", "idefics3", "paddleocr_vl", "gemma3"]
RED, TALL = drawn_image("red"), drawn_image("green", (100, 190))
LONG = "Tell me a rather long story, in so many words that it takes a while to read it. " * 5
CHUNK = 32


@pytest.mark.parametrize("family", [*WORDS, *VISION])
def test_chunked_prompt_gives_the_same_answer(family: str, engines: Engines) -> None:
    requests = [request(LONG, max_tokens=12), request("Hi", max_tokens=12)]
    assert alone(engines(family, prefill_chunk=CHUNK), *requests) == alone(engines(family), *requests)


@pytest.mark.parametrize("family", VISION)
def test_chunked_prompt_with_images_gives_the_same_answer(family: str, engines: Engines) -> None:
    chat_request = request(with_images(LONG, RED, TALL), max_tokens=12)
    chunked = engines(family, prefill_chunk=CHUNK)
    with steps(chunked) as seen:
        answers = alone(chunked, chat_request)
    assert answers == alone(engines(family), chat_request)
    if family != "gemma3":  # it reads prompts with images whole
        assert max(columns for _, columns in seen) == CHUNK


@pytest.mark.parametrize("family", ["lm", "qwen2_5_vl", "linear"])
def test_decode_step_runs_between_chunks(family: str, engines: Engines) -> None:
    engine = engines(family, prefill_chunk=CHUNK)
    first, long = request("Hi", max_tokens=40), request(LONG, max_tokens=4)
    with steps(engine) as seen:
        joined = JoinedRequests(engine, first, (3, long))
    columns = [columns for _, columns in seen]
    assert sum(count > 1 for count in columns) > 10, "the long prompt is read in chunks"
    assert all(1 in pair for pair in itertools.pairwise(columns[1:]))
    assert joined.texts == alone(engines(family), first, long)


def test_short_prompt_does_not_wait_for_a_long_one(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=CHUNK)
    joined = JoinedRequests(
        engine, request("Go on", max_tokens=60), (2, request(LONG * 3)), (4, request("Hi", max_tokens=2))
    )
    assert joined.finish_order[0] == 2


def test_short_prompts_are_read_together(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=512)
    requests = [request(words, max_tokens=3) for words in ("Hi", "Say more", "What then?")]
    with steps(engine) as seen:
        answers = [text(whole(pieces)) for pieces in run(engine, *requests)]
    assert seen[0][0] == 3
    assert answers == alone(engines("lm"), *requests)


def test_prompts_of_linear_attention_are_not_padded(engines: Engines) -> None:
    engine = engines("linear", prefill_chunk=512)
    requests = [request(words, max_tokens=3) for words in ("Hi", "Say more", "What then?")]
    with steps(engine) as seen:
        answers = [text(whole(pieces)) for pieces in run(engine, *requests)]
    assert max(rows for rows, columns in seen if columns > 1) == 1
    assert answers == alone(engines("linear"), *requests)


def test_disconnect_stops_prefill(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=CHUNK)
    running, cancelled = Call(request("Hi", max_tokens=30)), Call(request(LONG * 8))
    waiting = [running, cancelled]
    with steps(engine) as seen:
        for _ in engine.chat(feed_of(waiting)):
            if running.done >= 4:
                cancelled.cancel()
    assert cancelled.done == 0
    assert sum(columns for _, columns in seen) < 1000


def test_chunk_takes_at_most_three_steps() -> None:
    sizer = ChunkSizer(longest=512)
    assert sizer.size(is_decoding=True) == 512, "nothing has been measured"
    for _ in range(50):
        sizer.note_step(0.010)
        sizer.note_chunk(100, seconds=0.010 + 100 * 0.0002)
    assert sizer.size(is_decoding=True) == pytest.approx(100, rel=0.05)  # 0.020 s more than a step
    assert sizer.size(is_decoding=False) == 512


def test_chunk_size_has_limits() -> None:
    slow, fast = ChunkSizer(longest=512), ChunkSizer(longest=512)
    for sizer, seconds in ((slow, 10.0), (fast, 0.011)):
        sizer.note_step(0.010)
        sizer.note_chunk(100, seconds)
    assert slow.size(is_decoding=True) == SHORTEST
    assert fast.size(is_decoding=True) == 512
    assert ChunkSizer(longest=0).size(is_decoding=True) > 10**9
