"""Long prompts are read in pieces between the steps of those at work, and read as they are whole."""

from __future__ import annotations

import itertools

import pytest

from tests.support.batching import feed_of
from tests.support.chat_engines import picture, request, run, text, whole, with_pictures
from tests.support.talks import Engines, Talk, alone, steps
from workers.engine import Call
from workers.engines.transformers_chat.pace import SHORTEST, Pace

WORDS = ["lm", "llama", "sliding", "convolving", "linear", "mamba"]
VISION = ["qwen2_5_vl", "qwen3_vl", "smolvlm", "llava", "idefics3", "paddleocr_vl", "gemma3"]
RED, TALL = picture("red"), picture("green", (100, 190))
LONG = "Tell me a rather long story, in so many words that it takes a while to read it. " * 5
PIECE = 32


@pytest.mark.parametrize("family", [*WORDS, *VISION])
def test_pieces_are_read_as_the_whole(family: str, engines: Engines) -> None:
    asked = [request(LONG, max_tokens=12), request("Hi", max_tokens=12)]
    assert alone(engines(family, prefill_chunk=PIECE), *asked) == alone(engines(family), *asked)


@pytest.mark.parametrize("family", VISION)
def test_prompts_with_pictures_are_read_as_the_whole(family: str, engines: Engines) -> None:
    asked = request(with_pictures(LONG, RED, TALL), max_tokens=12)
    pieces = engines(family, prefill_chunk=PIECE)
    with steps(pieces) as seen:
        said = alone(pieces, asked)
    assert said == alone(engines(family), asked)
    if family != "gemma3":  # which reads pictures whole
        assert max(columns for _, columns in seen) == PIECE


@pytest.mark.parametrize("family", ["lm", "qwen2_5_vl", "linear"])
def test_a_step_of_all_at_work_comes_between_two_pieces(family: str, engines: Engines) -> None:
    engine = engines(family, prefill_chunk=PIECE)
    first, long = request("Hi", max_tokens=40), request(LONG, max_tokens=4)
    with steps(engine) as seen:
        talk = Talk(engine, first, (3, long))
    columns = [columns for _, columns in seen]
    assert sum(count > 1 for count in columns) > 10, "the long prompt came in pieces"
    assert all(1 in pair for pair in itertools.pairwise(columns[1:]))
    assert talk.texts == alone(engines(family), first, long)


def test_a_short_prompt_does_not_wait_until_a_long_one_is_read(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=PIECE)
    talk = Talk(engine, request("Go on", max_tokens=60), (2, request(LONG * 3)), (4, request("Hi", max_tokens=2)))
    assert talk.closed[0] == 2


def test_several_short_prompts_are_read_together(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=512)
    asked = [request(words, max_tokens=3) for words in ("Hi", "Say more", "What then?")]
    with steps(engine) as seen:
        said = [text(whole(pieces)) for pieces in run(engine, *asked)]
    assert seen[0][0] == 3
    assert said == alone(engines("lm"), *asked)


def test_prompts_that_padding_would_change_are_read_one_by_one(engines: Engines) -> None:
    engine = engines("linear", prefill_chunk=512)
    asked = [request(words, max_tokens=3) for words in ("Hi", "Say more", "What then?")]
    with steps(engine) as seen:
        said = [text(whole(pieces)) for pieces in run(engine, *asked)]
    assert max(rows for rows, columns in seen if columns > 1) == 1
    assert said == alone(engines("linear"), *asked)


def test_a_client_that_leaves_ends_the_reading(engines: Engines) -> None:
    engine = engines("lm", prefill_chunk=PIECE)
    stays, leaver = Call(request("Hi", max_tokens=30)), Call(request(LONG * 8))
    waiting = [stays, leaver]
    with steps(engine) as seen:
        for _ in engine.chat(feed_of(waiting)):
            if stays.done >= 4:
                leaver.cancel()
    assert leaver.done == 0
    assert sum(columns for _, columns in seen) < 1000


def test_nobody_waits_longer_for_a_piece_than_for_three_steps() -> None:
    pace = Pace(longest=512)
    assert pace.columns(is_anybody_waiting=True) == 512, "nothing has been measured"
    for _ in range(50):
        pace.stepped(0.010)
        pace.read(100, seconds=0.010 + 100 * 0.0002)
    assert pace.columns(is_anybody_waiting=True) == pytest.approx(100, rel=0.05)  # 0.020 s more than a step
    assert pace.columns(is_anybody_waiting=False) == 512


def test_pieces_have_a_least_and_a_greatest_size() -> None:
    slow, fast = Pace(longest=512), Pace(longest=512)
    for pace, seconds in ((slow, 10.0), (fast, 0.011)):
        pace.stepped(0.010)
        pace.read(100, seconds)
    assert slow.columns(is_anybody_waiting=True) == SHORTEST
    assert fast.columns(is_anybody_waiting=True) == 512
    assert Pace(longest=0).columns(is_anybody_waiting=True) > 10**9
