"""Long prompts are read in pieces between the steps of those at work, and read as they are whole."""

from __future__ import annotations

import itertools

import pytest

from tests.support.batching import feed_of
from tests.support.chat_engines import picture, request, run, text, whole, with_pictures
from tests.support.talks import Engines, Talk, alone, steps
from workers.engine import Call
from workers.engines.transformers_chat.chunk_sizer import SHORTEST, ChunkSizer

WORDS = ["lm", "llama", "sliding", "convolving", "linear", "mamba"]
VISION = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "llava", "idefics3", "paddleocr_vl", "gemma3"]
RED, TALL = picture("red"), picture("green", (100, 190))
LONG = "Tell me a rather long story, in so many words that it takes a while to read it. " * 5
PIECE = 32


@pytest.mark.parametrize("family", [*WORDS, *VISION])
def test_chunked_prompt_gives_the_same_answer(family: str, engines: Engines) -> None:
    asked = [request(LONG, max_tokens=12), request("Hi", max_tokens=12)]
    assert alone(engines(family, prefill_chunk=PIECE), *asked) == alone(engines(family), *asked)


@pytest.mark.parametrize("family", VISION)
def test_chunked_prompt_with_images_gives_the_same_answer(family: str, engines: Engines) -> None:
    asked = request(with_pictures(LONG, RED, TALL), max_tokens=12)
    pieces = engines(family, prefill_chunk=PIECE)
    with steps(pieces) as seen:
        said = alone(pieces, asked)
    assert said == alone(engines(family), asked)
    if family != "gemma3":  # which reads pictures whole
        assert max(columns for _, columns in seen) == PIECE


@pytest.mark.parametrize("family", ["lm", "qwen2_5_vl", "linear"])
def test_decode_step_runs_between_chunks(family: str, engines: Engines) -> None:
    engine = engines(family, prefill_chunk=PIECE)
    first, long = request("Hi", max_tokens=40), request(LONG, max_tokens=4)
    with steps(engine) as seen:
        talk = Talk(engine, first, (3, long))
    columns = [columns for _, columns in seen]
    assert sum(count > 1 for count in columns) > 10, "the long prompt came in pieces"
    assert all(1 in pair for pair in itertools.pairwise(columns[1:]))
    assert talk.texts == alone(engines(family), first, long)


def test_short_prompt_does_not_wait_for_a_long_one(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=PIECE)
    talk = Talk(engine, request("Go on", max_tokens=60), (2, request(LONG * 3)), (4, request("Hi", max_tokens=2)))
    assert talk.closed[0] == 2


def test_short_prompts_are_read_together(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=512)
    asked = [request(words, max_tokens=3) for words in ("Hi", "Say more", "What then?")]
    with steps(engine) as seen:
        said = [text(whole(pieces)) for pieces in run(engine, *asked)]
    assert seen[0][0] == 3
    assert said == alone(engines("lm"), *asked)


def test_prompts_of_linear_attention_are_not_padded(engines: Engines) -> None:
    engine = engines("linear", prefill_chunk=512)
    asked = [request(words, max_tokens=3) for words in ("Hi", "Say more", "What then?")]
    with steps(engine) as seen:
        said = [text(whole(pieces)) for pieces in run(engine, *asked)]
    assert max(rows for rows, columns in seen if columns > 1) == 1
    assert said == alone(engines("linear"), *asked)


def test_disconnect_stops_prefill(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=PIECE)
    stays, leaver = Call(request("Hi", max_tokens=30)), Call(request(LONG * 8))
    waiting = [stays, leaver]
    with steps(engine) as seen:
        for _ in engine.chat(feed_of(waiting)):
            if stays.done >= 4:
                leaver.cancel()
    assert leaver.done == 0
    assert sum(columns for _, columns in seen) < 1000


def test_chunk_takes_at_most_three_steps() -> None:
    pace = ChunkSizer(longest=512)
    assert pace.size(is_decoding=True) == 512, "nothing has been measured"
    for _ in range(50):
        pace.note_step(0.010)
        pace.note_chunk(100, seconds=0.010 + 100 * 0.0002)
    assert pace.size(is_decoding=True) == pytest.approx(100, rel=0.05)  # 0.020 s more than a step
    assert pace.size(is_decoding=False) == 512


def test_chunk_size_has_limits() -> None:
    slow, fast = ChunkSizer(longest=512), ChunkSizer(longest=512)
    for pace, seconds in ((slow, 10.0), (fast, 0.011)):
        pace.note_step(0.010)
        pace.note_chunk(100, seconds)
    assert slow.size(is_decoding=True) == SHORTEST
    assert fast.size(is_decoding=True) == 512
    assert ChunkSizer(longest=0).size(is_decoding=True) > 10**9
