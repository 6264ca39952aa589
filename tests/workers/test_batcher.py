"""The batcher: which calls share a batch, fail alone or are dropped, and that streams interleave."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from contract.errors import EngineFailed, InvalidField, OutOfMemory
from tests.support import batching
from tests.support.batching import STREAM, WHOLE, TextRequest, TextResponse, answer, stream, text
from workers.engine import Call, Engine, Output, serves
from workers.tickets import Ticket

Calls = list[Call[TextRequest]]
Answers = Iterator[tuple[Call[TextRequest], Output]]


class Recorder(Engine):
    """Records its batches. `gate` holds the first batch back, so that later calls queue up behind it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.held = threading.Event()  # a stream whose text has "|" waits there for this event
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
                yield call, TextResponse(text=text, batch=len(calls))

    @serves(STREAM, max_batch=4)
    def stream(self, calls: Calls) -> Answers:
        self._enter(calls)
        active = {id(call): self._letters(call.request.text) for call in calls}
        try:
            while active:
                for call in calls:
                    if id(call) in active:
                        yield call, self._next(active, call)
        finally:
            self.closed.set()

    def _letters(self, text: str) -> Iterator[str]:
        return itertools.chain(text, itertools.repeat("…")) if text.endswith("…") else iter(text)

    def _next(self, active: dict[int, Iterator[str]], call: Call[TextRequest]) -> Output:
        letter = next(active[id(call)], None)
        if letter is None:
            del active[id(call)]
            return None
        if letter == "!":
            raise RuntimeError("mid-stream")
        if letter == "|":
            assert self.held.wait(30)
        return TextResponse(text=letter)


class RecordingBatcher(batching.BatcherThread[Recorder]):
    """Runs a `Recorder`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(Recorder(), **options)

    async def occupied(self) -> Ticket:
        """Keep the thread busy with a first call, so that later calls queue up."""
        first = self.ask("first")
        await asyncio.to_thread(self.engine.entered.wait, 30)
        return first

    def close(self) -> None:
        self.engine.gate.set()
        super().close()


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., RecordingBatcher]]:
    started: list[RecordingBatcher] = []

    def start_one(**options: Any) -> RecordingBatcher:
        started.append(RecordingBatcher(**options))
        return started[-1]

    yield start_one
    for batcher in started:
        batcher.close()


async def test_batches_calls_queued_while_busy(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    first = await batcher.occupied()
    tickets = [batcher.ask(name) for name in "abc"]
    batcher.engine.gate.set()
    responses = [await answer(ticket) for ticket in (first, *tickets)]
    assert batcher.engine.batches == [["first"], ["a", "b", "c"]]
    assert [(t.text, t.batch) for t in responses] == [("first", 1), ("a", 3), ("b", 3), ("c", 3)]


async def test_work_that_no_client_waits_for_is_abandoned(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    assert batcher.batcher.activity == "idle"
    first = await batcher.occupied()
    assert batcher.batcher.activity == "working"
    first.call.cancel()
    assert batcher.batcher.activity == "abandoned"
    later = batcher.ask("later")
    batcher.engine.gate.set()
    await answer(later)
    batcher.close()
    assert batcher.batcher.activity == "idle"


async def test_batch_has_one_group_up_to_the_limit_oldest_first(
    start: Callable[..., RecordingBatcher],
) -> None:
    batcher = start()
    await batcher.occupied()
    tickets = [batcher.ask(name, size=2 if name.isupper() else 1) for name in "aBcDefgh"]
    batcher.engine.gate.set()
    for ticket in tickets:
        await answer(ticket)
    assert batcher.engine.batches[1:] == [["a", "c", "e", "f"], ["B", "D"], ["g", "h"]]


async def test_entry_lowers_the_limit(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start(max_batch=2)
    await batcher.occupied()
    tickets = [batcher.ask(name) for name in "abc"]
    batcher.engine.gate.set()
    for ticket in tickets:
        await answer(ticket)
    assert batcher.engine.batches[1:] == [["a", "b"], ["c"]]


async def test_batch_has_one_task(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    await batcher.occupied()
    whole, streamed = batcher.ask("a"), batcher.ask("b", "stream")
    batcher.engine.gate.set()
    assert await answer(whole) == TextResponse(text="a")
    assert text(await stream(streamed)) == "b"
    assert batcher.engine.batches[1:] == [["a"], ["b"]]


async def test_suspect_call_runs_alone(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    await batcher.occupied()
    tickets = [batcher.ask("a"), batcher.ask("suspect", alone=True), batcher.ask("b")]
    batcher.engine.gate.set()
    for ticket in tickets:
        await answer(ticket)
    assert batcher.engine.batches[1:] == [["a", "b"], ["suspect"]]


async def test_drops_cancelled_calls_before_batching(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    await batcher.occupied()
    gone, also_gone, stays = batcher.ask("gone"), batcher.ask("also gone"), batcher.ask("stays")
    gone.call.cancel()
    also_gone.call.cancel()
    batcher.engine.gate.set()
    await answer(stays)
    assert batcher.engine.batches[1:] == [["stays"]]


async def test_failing_item_fails_alone(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    await batcher.occupied()
    good, refused, other = batcher.ask("good"), batcher.ask("refuse"), batcher.ask("other")
    batcher.engine.gate.set()
    assert isinstance(await answer(refused), InvalidField)
    assert await answer(good) == TextResponse(text="good", batch=3)
    assert await answer(other) == TextResponse(text="other", batch=3)


async def test_retries_unanswered_calls_alone_after_an_exception(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    await batcher.occupied()
    tickets = [batcher.ask(name) for name in ("before", "raise", "after")]
    batcher.engine.gate.set()
    before, failed, after = [await answer(ticket) for ticket in tickets]
    assert before == TextResponse(text="before", batch=3)
    assert after == TextResponse(text="after", batch=1)
    assert isinstance(failed, EngineFailed)
    assert "RuntimeError: as told" in failed.message
    assert batcher.engine.batches[1:] == [["before", "raise", "after"], ["raise"], ["after"]]


async def test_out_of_memory_fails_one_call_and_is_reported(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    await batcher.occupied()
    greedy, other = batcher.ask("memory"), batcher.ask("other")
    batcher.engine.gate.set()
    assert isinstance(await answer(greedy), OutOfMemory)
    assert await answer(other) == TextResponse(text="other")
    assert batcher.out_of_memory == 1


async def test_call_without_an_answer_gets_an_error(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    batcher.engine.gate.set()
    forgotten = await answer(batcher.ask("ignore"))
    assert isinstance(forgotten, EngineFailed)
    assert "returned without an answer" in forgotten.message


async def test_short_stream_ends_before_a_long_one(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    await batcher.occupied()
    long, short = batcher.ask("a rather|long answer", "stream"), batcher.ask("short", "stream")
    batcher.engine.gate.set()
    assert text(await stream(short)) == "short"
    batcher.engine.held.set()  # until now the long one could not end
    answers = await stream(long)
    assert text(answers) == "a rather|long answer"
    assert answers[-1] is None
    assert batcher.engine.batches[1:] == [["a rather|long answer", "short"]]


async def test_exception_mid_stream_fails_every_started_stream(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    await batcher.occupied()
    tickets = [batcher.ask("ab!", "stream"), batcher.ask("abcde", "stream")]
    batcher.engine.gate.set()
    for answers in [await stream(ticket) for ticket in tickets]:
        assert text(answers).startswith("ab")
        assert isinstance(answers[-1], EngineFailed)


async def test_closes_the_generator_when_all_calls_are_cancelled(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start()
    batcher.engine.gate.set()
    ticket = batcher.ask("begun|never ends…", "stream")
    await answer(ticket)
    ticket.call.cancel()
    batcher.engine.held.set()
    assert await asyncio.to_thread(batcher.engine.closed.wait, 30)
    assert await answer(batcher.ask("next")) == TextResponse(text="next")


async def test_batch_window_waits_for_more_calls(start: Callable[..., RecordingBatcher]) -> None:
    batcher = start(batch_window_ms=1000, max_batch=2)
    batcher.engine.gate.set()
    responses = await asyncio.gather(answer(batcher.ask("a")), answer(batcher.ask("b")))
    assert [t.batch for t in responses if isinstance(t, TextResponse)] == [2, 2]
