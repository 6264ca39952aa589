"""Requests join running requests between two decode steps, and every answer is the same as alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.errors import BadImage, ContextTooLong, EngineFailed, OutOfMemory
from tests.support import batching
from tests.support.batching import feed_of
from tests.support.chat_engines import drawn_image, image_part, load, request, run, text, whole, with_images
from tests.support.joined_requests import Engines, JoinedRequests, alone, steps
from workers.engine import Call

FAMILIES = ["lm", "llama", "qwen2_5_vl", "smolvlm", "llava", "idefics3"]
VISION = [*FAMILIES[2:], "qwen2_vl", "qwen3_vl", "paddleocr_vl", "gemma3"]
CACHES = ["sliding", "convolving", "linear", "mamba"]
RED, TALL = drawn_image("red"), drawn_image("green", (100, 190))
LONG = "Tell me a rather long story, in so many words that it takes a while."


@pytest.mark.parametrize("family", [*FAMILIES, *CACHES])
def test_joining_changes_no_answer(family: str, engines: Engines) -> None:
    """Shorter and longer prompts, two that join together, answers that end before and after the first one."""
    engine = engines(family)
    first = request(LONG, max_tokens=20)
    later = [request("Hi", max_tokens=3), request(LONG * 2, max_tokens=9), request("Say more", max_tokens=30)]
    with steps(engine) as seen:
        joined = JoinedRequests(engine, first, *zip([4, 9, 10], later, strict=True))
    assert joined.texts == alone(engine, first, *later)
    assert joined.finish_order == [1, 2, 0, 3]
    shared = [rows for rows, columns in seen if columns == 1]
    assert max(shared) == 3
    assert sum(shared) == 20 + 3 + 9 + 30 - 4, "the first tokens come from the prompts, and no finished row takes part"
    assert len(shared) < 45


@pytest.mark.parametrize("family", VISION)
def test_requests_with_and_without_images_share_steps(family: str, engines: Engines) -> None:
    engine = engines(family)
    first = request("Tell me a story", max_tokens=16)
    seen = request(with_images("What is this?", RED), max_tokens=20)
    two = request(with_images("And these?", TALL, RED), max_tokens=4)
    words = request("Hm?", max_tokens=12)
    with steps(engine) as runs:
        joined = JoinedRequests(engine, first, (3, seen), (4, two), (8, words))
    assert joined.texts == alone(engine, first, seen, two, words)
    assert max(rows for rows, _ in runs) >= 3
    started_by_an_image = JoinedRequests(engine, seen, (5, words), (6, two))
    assert started_by_an_image.texts == alone(engine, seen, words, two)


@pytest.mark.parametrize("family", ["lm", "smolvlm"])
def test_seed_is_reproducible_whenever_a_request_joins(family: str, engines: Engines) -> None:
    engine = engines(family)
    first = request(LONG, temperature=1, seed=3, max_tokens=20)
    drawn = request("Hello", temperature=1, seed=7, top_p=0.9, max_tokens=16)
    several = request("Hello", temperature=1, seed=5, n=3, max_tokens=5)
    joined = JoinedRequests(engine, first, (5, drawn), (7, several))
    assert joined.texts == alone(engine, first, drawn, several)
    choices = [
        [text(whole(pieces), index) for index in range(3)] for pieces in (joined.pieces[2], run(engine, several)[0])
    ]
    assert choices[0] == choices[1]


def test_prompt_is_read_once_for_all_choices(engines: Engines) -> None:
    with steps(engine := engines("smolvlm")) as seen:
        run(engine, request(with_images("Hi", RED), n=3, temperature=1, max_tokens=4))
    assert [rows for rows, _ in seen] == [1, 3, 3, 3]


def test_short_answer_does_not_wait_for_a_long_one(engines: Engines) -> None:
    joined = JoinedRequests(engines("lm"), request(LONG, max_tokens=60), (30, request("Hi", max_tokens=2)))
    assert joined.finish_order == [1, 0]
    assert joined.calls[0].total == 60


async def test_joined_request_finishes_first_in_the_batcher(engines: Engines) -> None:
    """The joined request is answered completely while the long answer is still running."""
    thread = batching.BatcherThread(engines("lm"))
    serves = thread.engine.served()["chat"]
    long = thread.batcher.submit(serves, Call(request(LONG, max_tokens=3000)))
    begun = await long.next()
    short = request("Hi", max_tokens=4)
    pieces = await batching.stream(thread.batcher.submit(serves, Call(short)))
    assert not long.ended
    assert begun[-1] is not None
    long.call.cancel()
    thread.close()
    assert text(whole(pieces)) == alone(thread.engine, short)[0]


def test_unused_columns_are_removed(engines: Engines) -> None:
    """The KV cache is as wide as the longest running row, not as a longer one that has finished."""
    engine = engines("lm")
    widths: list[int] = []

    def note(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        widths.append((inputs.get("cache") or inputs["past_key_values"]).get_seq_length())

    hook = engine._model.register_forward_pre_hook(note, with_kwargs=True)
    first, short = request(LONG * 9, max_tokens=6), request("Hi", max_tokens=12)
    joined = JoinedRequests(engine, first, (2, short))
    hook.remove()
    assert joined.texts == alone(engine, first, short)
    assert max(widths) > 600
    assert widths[-1] < 40


def test_running_rows_stay_within_the_feed_limit(engines: Engines) -> None:
    engine = engines("lm")
    first, later = request(LONG, max_tokens=12), [request("Hi", n=5, max_tokens=4), request("Ho", max_tokens=4)]
    with steps(engine) as seen:
        joined = JoinedRequests(engine, first, *zip([2, 3], later, strict=True), limit=3)
    assert max(rows for rows, _ in seen) == 3
    assert joined.texts == alone(engine, first, *later)
    assert all(choice.message.content for choice in whole(joined.pieces[1]).choices)


def test_many_choices_do_not_block_other_requests(engines: Engines) -> None:
    engine = engines("lm")
    many, single = request(LONG, n=9, max_tokens=5), request("Hi", max_tokens=3)
    joined = JoinedRequests(engine, many, (2, single), (2, single), limit=2)
    assert joined.finish_order == [1, 2, 0]
    assert len({text(whole(joined.pieces[0]), index) for index in range(9)}) == 1
    assert joined.texts[1:] == alone(engine, single, single)


def test_waiting_choices_are_dropped_on_disconnect(engines: Engines) -> None:
    many, running = Call(request(LONG, n=9, max_tokens=5)), Call(request("Hi", max_tokens=3))
    pieces = []
    for call, piece in engines("lm").chat(feed_of([many, running], limit=2)):
        many.cancel()
        pieces += [piece] if call is running else []
    assert text(whole(pieces))


def test_invalid_joined_request_fails_alone(engines: Engines) -> None:
    engine = engines("smolvlm")
    first = request(LONG, max_tokens=12)
    broken = image_part(RED)
    broken["image_url"]["url"] = broken["image_url"]["url"][:-400]
    joined = JoinedRequests(engine, first, (3, request([broken])), (5, request("x" * 5000)))
    assert isinstance(joined.pieces[1][0], BadImage)
    assert isinstance(joined.pieces[2][0], ContextTooLong)
    assert text(whole(joined.pieces[0])) == alone(engine, first)[0]


def test_prompt_that_fails_in_the_model_fails_alone(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two prompts are read together and one of them fails in the model; a third needs too much memory."""
    engine = engines("lm")
    forward, (mark,) = engine._model.forward, engine._loaded.tokenizer("!")["input_ids"]

    def fragile(**inputs: Any) -> Any:
        columns = inputs["input_ids"].shape[-1]
        if columns > 1 and (inputs["input_ids"] == mark).any():
            raise MemoryError if columns > 100 else RuntimeError("test failure")
        return forward(**inputs)

    first, fine = request(LONG, max_tokens=12), request("Hi", max_tokens=6)
    expected = alone(engine, first, fine)
    monkeypatch.setattr(engine._model, "forward", fragile)
    joined = JoinedRequests(engine, first, (3, request("a!")), (3, fine), (7, request("a!" * 50)))
    assert isinstance(joined.pieces[1][0], EngineFailed)
    assert isinstance(joined.pieces[3][0], OutOfMemory)
    assert [text(whole(joined.pieces[number])) for number in (0, 2)] == expected


def test_disconnect_frees_its_row_at_once(engines: Engines) -> None:
    engine = engines("lm")
    cancelled, running = Call(request(LONG, max_tokens=40)), Call(request("Hi", max_tokens=5))
    pieces = []
    for call, piece in engine.chat(feed_of([cancelled, running], limit=1)):
        if call is running:
            pieces.append(piece)
        elif cancelled.done >= 3:
            cancelled.cancel()
    assert cancelled.done < 10
    assert text(whole(pieces)) == alone(engine, running.request)[0]


def test_recommended_penalty_uses_each_rows_own_tokens(models: Any, engines: Engines, tmp_path: Path) -> None:
    """The expected answers are those of `generate`, one prompt at a time."""
    folder = shutil.copytree(models("lm"), tmp_path / "penalized")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**settings, "repetition_penalty": 1.8}))
    engine = load(folder)
    first, later = request(LONG, max_tokens=20), [request("Hi", max_tokens=9), request("What then?", max_tokens=9)]
    joined = JoinedRequests(engine, first, (4, later[0]), (4, later[1]))
    free = alone(engines("lm"), first, *later)
    for answer, item, unpenalized in zip(joined.texts, [first, *later], free, strict=True):
        inputs = engine._encoder.encode(item)
        tokens = engine._model.generate(**inputs, max_new_tokens=item.limit, repetition_penalty=1.8)[
            0, inputs["input_ids"].shape[-1] :
        ]
        assert answer == engine._loaded.tokenizer.decode(tokens, skip_special_tokens=True) != unpenalized


def test_model_without_attention_shares_steps(engines: Engines) -> None:
    engine = engines("mamba")
    first, later = request(LONG, max_tokens=16), [request("Hi", max_tokens=4), request("Ho", n=2, max_tokens=3)]
    with steps(engine) as seen:
        joined = JoinedRequests(engine, first, (3, later[0]), (3, later[1]))
    assert max(rows for rows, columns in seen if columns == 1) == 4
    assert joined.texts == alone(engine, first, *later)
    assert joined.finish_order == [1, 2, 0]
    assert [text(whole(joined.pieces[2]), index) for index in range(2)] == [joined.texts[2]] * 2
