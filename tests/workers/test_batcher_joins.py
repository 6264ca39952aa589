"""What the batcher promises to methods with `joins`: who may join, whose turn it is, and who fails alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from contract.errors import EngineFailed, InvalidField, OutOfMemory
from tests.support import batching
from tests.support.batching import STREAM, WHOLE, Ask, Told, answer, stream, text
from workers.engine import Call, Engine, Feed, Output, serves
from workers.failures import to_serve_error

Answers = Iterator[tuple[Call[Ask], Output]]


class Spelling(Engine):
    """Spells texts, a letter a step. Each step and each whole call waits for a permit, and notes who was at work."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.steps: list[str] = []
        self.closed = threading.Event()

    def _note(self, *texts: str) -> None:
        self.steps.append(" ".join(texts))

    @serves(WHOLE, max_batch=3)
    def whole(self, calls: list[Call[Ask]]) -> Answers:
        assert self.permits.acquire(timeout=30)
        self._note(*(call.request.text for call in calls))
        for call in calls:
            yield call, Told(text=call.request.text)

    @serves(STREAM, max_batch=3, group=lambda request: request.size, joins=True)
    def stream(self, feed: Feed[Ask]) -> Answers:
        going: list[tuple[Call[Ask], Iterator[str]]] = []
        try:
            while True:
                assert self.permits.acquire(timeout=30)
                going += [(call, iter(call.request.text)) for call in feed.take(feed.limit)]
                if not going:
                    return
                self._note(*(call.request.text for call, _ in going))
                yield from self._step(going)
        finally:
            self.closed.set()

    def _step(self, going: list[tuple[Call[Ask], Iterator[str]]]) -> Answers:
        for item in list(going):
            call, letters = item
            letter = next(letters, None)
            if letter is None or letter == "?" or call.cancelled:
                going.remove(item)
            if letter == "!":
                raise RuntimeError("as told")
            if letter == "?":
                yield call, InvalidField("as told", param="text")
            elif letter == "#":
                yield call, to_serve_error(MemoryError())
            elif not call.cancelled:
                yield call, letter if letter is None else Told(text=letter)


class Deaf(Engine):
    """Does not take what waits for it."""

    @serves(STREAM, joins=True)
    def stream(self, feed: Feed[Ask]) -> Answers:
        yield from ()

    @serves(WHOLE, joins=True)
    def whole(self, feed: Feed[Ask]) -> Answers:
        raise RuntimeError("before it takes any")


class House(batching.House[Any]):
    def step(self, permits: int = 1) -> None:
        """Let the engine do so many steps."""
        self.engine.permits.release(permits)

    def spell(self, word: str, **how: Any) -> Any:
        return self.ask(word, "stream", **how)

    def close(self) -> None:
        self.step(1000)
        super().close()


Houses = Callable[..., House]


@pytest.fixture
async def houses() -> AsyncIterator[Houses]:
    made: list[House] = []

    def make(engine: Engine | None = None, **options: Any) -> House:
        made.append(House(engine or Spelling(), **options))
        return made[-1]

    yield make
    for house in made:
        if isinstance(house.engine, Spelling):
            house.close()
        else:
            batching.House.close(house)


async def test_a_newcomer_joins_at_the_next_step_and_ends_before_the_long_one(houses: Houses) -> None:
    house = houses()
    long = house.spell("abcdefgh")
    house.step()
    assert await answer(long) == Told(text="a")
    short = house.spell("xy")
    house.step(3)
    assert text(await stream(short)) == "xy"
    house.step(6)
    assert text(await stream(long)) == "bcdefgh"
    assert house.engine.steps == ["abcdefgh", *["abcdefgh xy"] * 3, *["abcdefgh"] * 5]


async def test_no_more_are_at_work_than_the_bound_and_who_ends_makes_room(houses: Houses) -> None:
    house = houses(max_batch=2)
    tickets = [house.spell(word) for word in ("abc", "d", "ef", "g")]
    house.step(20)
    assert [text(await stream(ticket)) for ticket in tickets] == ["abc", "d", "ef", "g"]
    assert house.engine.steps == ["abc d", "abc d", "abc ef", "abc ef", "ef g", "g"]


async def test_an_engine_asks_for_no_more_than_it_has_room_for() -> None:
    given: list[int] = []

    def more(most: int) -> list[Call[Ask]]:
        given.append(most)
        return []

    feed = Feed(4, more)
    assert feed.take(0) == feed.take(-1) == feed.take(2) == []
    assert given == [2]


@pytest.mark.parametrize("waits", [("whole", 1, False), ("stream", 2, False), ("stream", 1, True)])
async def test_who_does_not_fit_gets_a_turn_although_newcomers_keep_coming(
    waits: tuple[str, int, bool], houses: Houses
) -> None:
    """Another task, another group, one that must be alone: who comes later does not join before it."""
    task, size, alone = waits
    house = houses()
    first = house.spell("abc")
    house.step()
    await answer(first)
    early = house.spell("E")
    other = house.ask("O", task, size=size, alone=alone)
    late = house.spell("L")
    house.step(20)
    for ticket in (first, early, other, late):
        await stream(ticket) if ticket.served.joins else await answer(ticket)
    order = list(dict.fromkeys(" ".join(house.engine.steps).split()))
    assert order == ["abc", "E", "O", "L"]
    assert not any("O" in step and len(step) > 1 for step in house.engine.steps)


async def test_nor_do_those_of_another_task_keep_the_joining_ones_waiting(houses: Houses) -> None:
    house = houses()
    first = house.ask("W")
    spelled, second = house.spell("s"), house.ask("V")
    house.step(1)
    await answer(first)
    third = house.ask("U")
    house.step(20)
    await stream(spelled)
    await answer(second)
    await answer(third)
    order = list(dict.fromkeys(" ".join(house.engine.steps).split()))
    assert order.index("s") < order.index("U")


async def test_when_the_one_that_does_not_fit_has_left_the_others_join(houses: Houses) -> None:
    house = houses()
    first = house.spell("abc")
    house.step()
    await answer(first)
    other, late = house.ask("O"), house.spell("L")
    house.step()
    await answer(first)
    other.call.cancel()
    house.step(20)
    assert text(await stream(late)) == "L"
    assert house.engine.steps[:4] == ["abc", "abc", "abc L", "abc L"]


async def test_nobody_joins_one_that_must_be_alone(houses: Houses) -> None:
    house = houses()
    suspect = house.spell("abc", alone=True)
    house.step()
    await answer(suspect)
    late = house.spell("L")
    house.step(20)
    assert text(await stream(late)) == "L"
    assert "abc L" not in house.engine.steps


async def test_who_has_left_does_not_join_and_who_leaves_makes_room(houses: Houses) -> None:
    house = houses(max_batch=2)
    first, leaver = house.spell("abc"), house.spell("defgh")
    house.step()
    await answer(first)
    gone, stays = house.spell("gone"), house.spell("S")
    gone.call.cancel()
    leaver.call.cancel()
    house.step(20)
    assert text(await stream(stays)) == "S"
    assert text(await stream(first)) == "bc"
    assert not any("gone" in step for step in house.engine.steps)


async def test_a_newcomer_that_fails_fails_alone(houses: Houses) -> None:
    house = houses()
    first = house.spell("abc")
    house.step()
    await answer(first)
    refused, greedy = house.spell("?"), house.spell("#")
    house.step(20)
    assert isinstance(await answer(refused), InvalidField)
    assert isinstance(await answer(greedy), OutOfMemory)
    assert text(await stream(first)) == "bc"
    assert house.out_of_memory == 1


async def test_an_exception_ends_the_begun_and_the_others_run_again_alone(houses: Houses) -> None:
    house = houses()
    begun = house.spell("abc")
    house.step()
    await answer(begun)
    bad, good, waiting = house.spell("!"), house.spell("G"), house.spell("W")
    house.step(20)
    assert text(answers := await stream(begun)) == "b"
    assert isinstance(answers[-1], EngineFailed)
    assert isinstance(await answer(bad), EngineFailed)
    assert text(await stream(good)) == "G"
    assert text(await stream(waiting)) == "W"
    assert house.engine.steps == ["abc", "abc ! G", "!", "G", "G", "W", "W"]


async def test_a_method_is_closed_when_nobody_waits_for_it_and_begins_anew_for_the_next(houses: Houses) -> None:
    house = houses()
    ticket = house.spell("abcdef")
    house.step()
    await answer(ticket)
    ticket.call.cancel()
    house.step(2)  # to notice it, and to find that nobody else waits
    assert await asyncio.to_thread(house.engine.closed.wait, 30)
    house.step(20)
    assert text(await stream(house.spell("next"))) == "next"


async def test_what_a_method_does_not_take_is_told_so(houses: Houses) -> None:
    house = houses(Deaf())
    silent, raised = house.spell("a"), house.ask("b")
    assert "returned without an answer" in str(await answer(silent))
    assert "before it takes any" in str(await answer(raised))


async def test_once_stopped_those_at_work_finish_and_nobody_joins(houses: Houses) -> None:
    house = houses()
    first = house.spell("ab")
    house.step()
    await answer(first)
    house.batcher.stop()
    house.spell("late")
    house.step(20)
    assert text(await stream(first)) == "b"
    await asyncio.to_thread(house.thread.join, 30)
    assert house.engine.steps == ["ab", "ab", "ab"]


async def test_a_window_waits_for_company_before_the_first_step(houses: Houses) -> None:
    house = houses(batch_window_ms=1000, max_batch=2)
    house.step(20)
    tickets = [house.spell("a"), house.spell("b")]
    assert [text(await stream(ticket)) for ticket in tickets] == ["a", "b"]
    assert house.engine.steps[0] == "a b"
