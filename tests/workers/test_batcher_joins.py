"""The batcher and methods with `joins`: which calls may join, which run first, and which fail alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from contract.errors import EngineFailed, InvalidField, OutOfMemory
from tests.support import batching
from tests.support.batching import STREAM, WHOLE, TextRequest, TextResponse, answer, stream, text
from workers.engine import Call, Engine, Feed, Output, serves
from workers.failures import to_serve_error

Answers = Iterator[tuple[Call[TextRequest], Output]]


class Spelling(Engine):
    """Spells texts, one letter per step. Each step and each whole call misfit for a permit and records its texts."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.steps: list[str] = []
        self.closed = threading.Event()

    def _record(self, *texts: str) -> None:
        self.steps.append(" ".join(texts))

    @serves(WHOLE, max_batch=3)
    def whole(self, calls: list[Call[TextRequest]]) -> Answers:
        assert self.permits.acquire(timeout=30)
        self._record(*(call.request.text for call in calls))
        for call in calls:
            yield call, TextResponse(text=call.request.text)

    @serves(STREAM, max_batch=3, group=lambda request: request.size, joins=True)
    def stream(self, feed: Feed[TextRequest]) -> Answers:
        active: list[tuple[Call[TextRequest], Iterator[str]]] = []
        try:
            while True:
                assert self.permits.acquire(timeout=30)
                active += [(call, iter(call.request.text)) for call in feed.take(feed.limit)]
                if not active:
                    return
                self._record(*(call.request.text for call, _ in active))
                yield from self._step(active)
        finally:
            self.closed.set()

    def _step(self, active: list[tuple[Call[TextRequest], Iterator[str]]]) -> Answers:
        for item in list(active):
            call, letters = item
            letter = next(letters, None)
            if letter is None or letter == "?" or call.cancelled:
                active.remove(item)
            if letter == "!":
                raise RuntimeError("as told")
            if letter == "?":
                yield call, InvalidField("as told", param="text")
            elif letter == "#":
                yield call, to_serve_error(MemoryError())
            elif not call.cancelled:
                yield call, letter if letter is None else TextResponse(text=letter)


class TakesNothing(Engine):
    """Takes no calls."""

    @serves(STREAM, joins=True)
    def stream(self, feed: Feed[TextRequest]) -> Answers:
        yield from ()

    @serves(WHOLE, joins=True)
    def whole(self, feed: Feed[TextRequest]) -> Answers:
        raise RuntimeError("before it takes any")


class SpellingBatcher(batching.BatcherThread[Any]):
    def step(self, permits: int = 1) -> None:
        """Let the engine run this many steps."""
        self.engine.permits.release(permits)

    def spell(self, word: str, **options: Any) -> Any:
        return self.ask(word, "stream", **options)

    def close(self) -> None:
        self.step(1000)
        super().close()


Start = Callable[..., SpellingBatcher]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started: list[SpellingBatcher] = []

    def start_one(engine: Engine | None = None, **options: Any) -> SpellingBatcher:
        started.append(SpellingBatcher(engine or Spelling(), **options))
        return started[-1]

    yield start_one
    for batcher in started:
        if isinstance(batcher.engine, Spelling):
            batcher.close()
        else:
            batching.BatcherThread.close(batcher)


async def test_new_call_joins_at_the_next_step(start: Start) -> None:
    batcher = start()
    long = batcher.spell("abcdefgh")
    batcher.step()
    assert await answer(long) == TextResponse(text="a")
    short = batcher.spell("xy")
    batcher.step(3)
    assert text(await stream(short)) == "xy"
    batcher.step(6)
    assert text(await stream(long)) == "bcdefgh"
    assert batcher.engine.steps == ["abcdefgh", *["abcdefgh xy"] * 3, *["abcdefgh"] * 5]


async def test_call_joins_only_when_another_has_ended(start: Start) -> None:
    batcher = start(max_batch=2)
    tickets = [batcher.spell(word) for word in ("abc", "d", "ef", "g")]
    batcher.step(20)
    assert [text(await stream(ticket)) for ticket in tickets] == ["abc", "d", "ef", "g"]
    assert batcher.engine.steps == ["abc d", "abc d", "abc ef", "abc ef", "ef g", "g"]


async def test_feed_gives_no_more_than_asked_for() -> None:
    requested: list[int] = []

    def more(room: int) -> list[Call[TextRequest]]:
        requested.append(room)
        return []

    feed = Feed(4, more)
    assert feed.take(0) == feed.take(-1) == feed.take(2) == []
    assert requested == [2]


@pytest.mark.parametrize("misfit", [("whole", 1, False), ("stream", 2, False), ("stream", 1, True)])
async def test_joining_calls_do_not_starve_one_that_does_not_fit(misfit: tuple[str, int, bool], start: Start) -> None:
    """Another task, another group, a call that runs alone: no later call joins ahead of it."""
    task, size, alone = misfit
    batcher = start()
    first = batcher.spell("abc")
    batcher.step()
    await answer(first)
    early = batcher.spell("E")
    other = batcher.ask("O", task, size=size, alone=alone)
    late = batcher.spell("L")
    batcher.step(20)
    for ticket in (first, early, other, late):
        await stream(ticket) if ticket.served.joins else await answer(ticket)
    order = list(dict.fromkeys(" ".join(batcher.engine.steps).split()))
    assert order == ["abc", "E", "O", "L"]
    assert not any("O" in step and len(step) > 1 for step in batcher.engine.steps)


async def test_other_tasks_do_not_starve_joining_calls(start: Start) -> None:
    batcher = start()
    first = batcher.ask("W")
    spelled, second = batcher.spell("s"), batcher.ask("V")
    batcher.step(1)
    await answer(first)
    third = batcher.ask("U")
    batcher.step(20)
    await stream(spelled)
    await answer(second)
    await answer(third)
    order = list(dict.fromkeys(" ".join(batcher.engine.steps).split()))
    assert order.index("s") < order.index("U")


async def test_calls_join_once_the_blocking_one_is_cancelled(start: Start) -> None:
    batcher = start()
    first = batcher.spell("abc")
    batcher.step()
    await answer(first)
    other, late = batcher.ask("O"), batcher.spell("L")
    batcher.step()
    await answer(first)
    other.call.cancel()
    batcher.step(20)
    assert text(await stream(late)) == "L"
    assert batcher.engine.steps[:4] == ["abc", "abc", "abc L", "abc L"]


async def test_no_call_joins_one_that_runs_alone(start: Start) -> None:
    batcher = start()
    suspect = batcher.spell("abc", alone=True)
    batcher.step()
    await answer(suspect)
    late = batcher.spell("L")
    batcher.step(20)
    assert text(await stream(late)) == "L"
    assert "abc L" not in batcher.engine.steps


async def test_cancelled_calls_do_not_join_and_make_room(start: Start) -> None:
    batcher = start(max_batch=2)
    first, leaver = batcher.spell("abc"), batcher.spell("defgh")
    batcher.step()
    await answer(first)
    gone, stays = batcher.spell("gone"), batcher.spell("S")
    gone.call.cancel()
    leaver.call.cancel()
    batcher.step(20)
    assert text(await stream(stays)) == "S"
    assert text(await stream(first)) == "bc"
    assert not any("gone" in step for step in batcher.engine.steps)


async def test_failing_joined_call_fails_alone(start: Start) -> None:
    batcher = start()
    first = batcher.spell("abc")
    batcher.step()
    await answer(first)
    refused, greedy = batcher.spell("?"), batcher.spell("#")
    batcher.step(20)
    assert isinstance(await answer(refused), InvalidField)
    assert isinstance(await answer(greedy), OutOfMemory)
    assert text(await stream(first)) == "bc"
    assert batcher.out_of_memory == 1


async def test_exception_ends_started_calls_and_retries_the_rest(start: Start) -> None:
    batcher = start()
    started_call = batcher.spell("abc")
    batcher.step()
    await answer(started_call)
    bad, good, waiting = batcher.spell("!"), batcher.spell("G"), batcher.spell("W")
    batcher.step(20)
    assert text(answers := await stream(started_call)) == "b"
    assert isinstance(answers[-1], EngineFailed)
    assert isinstance(await answer(bad), EngineFailed)
    assert text(await stream(good)) == "G"
    assert text(await stream(waiting)) == "W"
    assert batcher.engine.steps == ["abc", "abc ! G", "!", "G", "G", "W", "W"]


async def test_method_restarts_after_all_calls_were_cancelled(start: Start) -> None:
    batcher = start()
    ticket = batcher.spell("abcdef")
    batcher.step()
    await answer(ticket)
    ticket.call.cancel()
    batcher.step(2)  # one to notice the cancellation, one to find the feed empty
    assert await asyncio.to_thread(batcher.engine.closed.wait, 30)
    batcher.step(20)
    assert text(await stream(batcher.spell("next"))) == "next"


async def test_call_that_a_method_never_takes_gets_an_error(start: Start) -> None:
    batcher = start(TakesNothing())
    silent, raised = batcher.spell("a"), batcher.ask("b")
    assert "returned without an answer" in str(await answer(silent))
    assert "before it takes any" in str(await answer(raised))


async def test_after_stop_calls_finish_and_none_joins(start: Start) -> None:
    batcher = start()
    first = batcher.spell("ab")
    batcher.step()
    await answer(first)
    batcher.stop()
    batcher.spell("late")
    batcher.step(20)
    assert text(await stream(first)) == "b"
    await asyncio.to_thread(batcher.thread.join, 30)
    assert batcher.engine.steps == ["ab", "ab", "ab"]


async def test_batch_window_waits_before_the_first_step(start: Start) -> None:
    batcher = start(batch_window_ms=1000, max_batch=2)
    batcher.step(20)
    tickets = [batcher.spell("a"), batcher.spell("b")]
    assert [text(await stream(ticket)) for ticket in tickets] == ["a", "b"]
    assert batcher.engine.steps[0] == "a b"
