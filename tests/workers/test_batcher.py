"""What the batcher promises: who shares a batch, who fails alone, who is dropped, and that streams interleave."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from contract.errors import EngineFailed, InvalidField, OutOfMemory
from tests.support import batching
from tests.support.batching import STREAM, WHOLE, Ask, Told, answer, stream, text
from workers.batcher import Ticket
from workers.engine import Call, Engine, Output, serves

Calls = list[Call[Ask]]
Answers = Iterator[tuple[Call[Ask], Output]]


class Recorder(Engine):
    """Notes its batches. `gate` holds the first batch back, so that the others queue up behind it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.held = threading.Event()  # where a text has "|", its stream waits for this
        self.closed = threading.Event()

    def _enter(self, calls: Calls) -> None:
        self.batches.append([call.request.text for call in calls])
        self.entered.set()
        assert self.gate.wait(30)

    @serves(WHOLE, max_batch=4, group=lambda request: request.size)
    def whole(self, calls: Calls) -> Answers:
        self._enter(calls)
        for call in calls:
            text = call.request.text
            if text == "raise":
                raise RuntimeError("as told")
            if text == "memory":
                raise MemoryError
            if text == "refuse":
                yield call, InvalidField("as told", param="text")
            elif text != "ignore":
                yield call, Told(text=text, batch=len(calls))

    @serves(STREAM, max_batch=4)
    def stream(self, calls: Calls) -> Answers:
        self._enter(calls)
        going = {id(call): self._letters(call.request.text) for call in calls}
        try:
            while going:
                for call in calls:
                    if id(call) in going:
                        yield call, self._next(going, call)
        finally:
            self.closed.set()

    def _letters(self, text: str) -> Iterator[str]:
        return itertools.chain(text, itertools.repeat("…")) if text.endswith("…") else iter(text)

    def _next(self, going: dict[int, Iterator[str]], call: Call[Ask]) -> Output:
        letter = next(going[id(call)], None)
        if letter is None:
            del going[id(call)]
            return None
        if letter == "!":
            raise RuntimeError("mid-stream")
        if letter == "|":
            assert self.held.wait(30)
        return Told(text=letter)


class House(batching.House[Recorder]):
    """With a `Recorder`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Recorder(), **options)

    async def occupied(self) -> Ticket:
        """Have the thread at work on a first call, so that what is asked from now on queues up."""
        first = self.ask("first")
        await asyncio.to_thread(self.engine.entered.wait, 30)
        return first

    def close(self) -> None:
        self.engine.gate.set()
        super().close()


@pytest.fixture
async def houses() -> AsyncIterator[Callable[..., House]]:
    made: list[House] = []

    def make(**options: Any) -> House:
        made.append(House(**options))
        return made[-1]

    yield make
    for house in made:
        house.close()


async def test_what_queued_while_the_thread_was_busy_becomes_one_call(houses: Callable[..., House]) -> None:
    house = houses()
    first = await house.occupied()
    tickets = [house.ask(name) for name in "abc"]
    house.engine.gate.set()
    told = [await answer(ticket) for ticket in (first, *tickets)]
    assert house.engine.batches == [["first"], ["a", "b", "c"]]
    assert [(t.text, t.batch) for t in told] == [("first", 1), ("a", 3), ("b", 3), ("c", 3)]


async def test_a_batch_keeps_to_its_bound_and_to_one_group_and_the_oldest_goes_first(
    houses: Callable[..., House],
) -> None:
    house = houses()
    await house.occupied()
    tickets = [house.ask(name, size=2 if name.isupper() else 1) for name in "aBcDefgh"]
    house.engine.gate.set()
    for ticket in tickets:
        await answer(ticket)
    assert house.engine.batches[1:] == [["a", "c", "e", "f"], ["B", "D"], ["g", "h"]]


async def test_an_entry_lowers_the_bound(houses: Callable[..., House]) -> None:
    house = houses(max_batch=2)
    await house.occupied()
    tickets = [house.ask(name) for name in "abc"]
    house.engine.gate.set()
    for ticket in tickets:
        await answer(ticket)
    assert house.engine.batches[1:] == [["a", "b"], ["c"]]


async def test_tasks_do_not_mix(houses: Callable[..., House]) -> None:
    house = houses()
    await house.occupied()
    whole, streamed = house.ask("a"), house.ask("b", "stream")
    house.engine.gate.set()
    assert await answer(whole) == Told(text="a")
    assert text(await stream(streamed)) == "b"
    assert house.engine.batches[1:] == [["a"], ["b"]]


async def test_a_call_that_has_killed_a_worker_runs_alone(houses: Callable[..., House]) -> None:
    house = houses()
    await house.occupied()
    tickets = [house.ask("a"), house.ask("suspect", alone=True), house.ask("b")]
    house.engine.gate.set()
    for ticket in tickets:
        await answer(ticket)
    assert house.engine.batches[1:] == [["a", "b"], ["suspect"]]


async def test_who_has_left_is_dropped_before_batching(houses: Callable[..., House]) -> None:
    house = houses()
    await house.occupied()
    gone, also_gone, stays = house.ask("gone"), house.ask("also gone"), house.ask("stays")
    gone.call.cancel()
    also_gone.call.cancel()
    house.engine.gate.set()
    await answer(stays)
    assert house.engine.batches[1:] == [["stays"]]


async def test_a_failing_item_fails_alone(houses: Callable[..., House]) -> None:
    house = houses()
    await house.occupied()
    good, refused, other = house.ask("good"), house.ask("refuse"), house.ask("other")
    house.engine.gate.set()
    assert isinstance(await answer(refused), InvalidField)
    assert await answer(good) == Told(text="good", batch=3)
    assert await answer(other) == Told(text="other", batch=3)


async def test_after_an_exception_the_unanswered_run_one_by_one(houses: Callable[..., House]) -> None:
    house = houses()
    await house.occupied()
    tickets = [house.ask(name) for name in ("before", "raise", "after")]
    house.engine.gate.set()
    before, failed, after = [await answer(ticket) for ticket in tickets]
    assert before == Told(text="before", batch=3)
    assert after == Told(text="after", batch=1)
    assert isinstance(failed, EngineFailed)
    assert "RuntimeError: as told" in failed.message
    assert house.engine.batches[1:] == [["before", "raise", "after"], ["raise"], ["after"]]


async def test_out_of_memory_is_told_to_client_and_manager_and_spares_the_others(houses: Callable[..., House]) -> None:
    house = houses()
    await house.occupied()
    greedy, other = house.ask("memory"), house.ask("other")
    house.engine.gate.set()
    assert isinstance(await answer(greedy), OutOfMemory)
    assert await answer(other) == Told(text="other")
    assert house.out_of_memory == 1


async def test_a_call_that_the_engine_forgets_gets_an_error(houses: Callable[..., House]) -> None:
    house = houses()
    house.engine.gate.set()
    forgotten = await answer(house.ask("ignore"))
    assert isinstance(forgotten, EngineFailed)
    assert "returned without an answer" in forgotten.message


async def test_streams_interleave_and_a_short_one_ends_before_the_long_one(houses: Callable[..., House]) -> None:
    house = houses()
    await house.occupied()
    long, short = house.ask("a rather|long answer", "stream"), house.ask("short", "stream")
    house.engine.gate.set()
    assert text(await stream(short)) == "short"
    house.engine.held.set()  # the long one could not have ended before
    answers = await stream(long)
    assert text(answers) == "a rather|long answer"
    assert answers[-1] is None
    assert house.engine.batches[1:] == [["a rather|long answer", "short"]]


async def test_an_exception_mid_stream_ends_every_begun_stream_with_an_error(houses: Callable[..., House]) -> None:
    house = houses()
    await house.occupied()
    tickets = [house.ask("ab!", "stream"), house.ask("abcde", "stream")]
    house.engine.gate.set()
    for answers in [await stream(ticket) for ticket in tickets]:
        assert text(answers).startswith("ab")
        assert isinstance(answers[-1], EngineFailed)


async def test_a_generator_is_closed_when_nobody_waits_for_it_any_more(houses: Callable[..., House]) -> None:
    house = houses()
    house.engine.gate.set()
    ticket = house.ask("begun|never ends…", "stream")
    await answer(ticket)
    ticket.call.cancel()
    house.engine.held.set()
    assert await asyncio.to_thread(house.engine.closed.wait, 30)
    assert await answer(house.ask("next")) == Told(text="next")


async def test_a_window_waits_for_company(houses: Callable[..., House]) -> None:
    house = houses(batch_window_ms=1000, max_batch=2)
    house.engine.gate.set()
    told = await asyncio.gather(answer(house.ask("a")), answer(house.ask("b")))
    assert [t.batch for t in told if isinstance(t, Told)] == [2, 2]
