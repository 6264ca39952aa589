"""Queue, batch, one thread: what waits and fits together becomes one call of the engine's method.

A method with `joins` is handed a feed instead, through which it takes what waits when it has room: the batch is then
whatever it has at work.

The loop's side submits calls and reads their answers; the engine's thread forms batches and runs them. They meet in
two queues that need no lock of ours: calls go over in a SimpleQueue, answers come back in a deque, with one wake-up
of the loop for as many as have gathered.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from contract.errors import EngineFailed, OutOfMemory, ServeError
from workers.engine import Call, Engine, Feed, Options, Output, ServedTask
from workers.failures import is_fatal, to_serve_error

log = logging.getLogger(__name__)


class Ticket:
    """One call on its way through the batcher, and the answers that have come back for it."""

    __slots__ = ("_answers", "_waiter", "alone", "answered", "call", "ended", "group", "serves")

    def __init__(self, serves: ServedTask, call: Call[Any]) -> None:
        self.serves = serves
        self.call = call
        self.group = serves.group(call.request) if serves.group else None
        self.alone = call.alone  # or a batch with it has failed
        self.answered = False  # the engine's thread has given some answer
        self.ended = False  # ... and the last one
        self._answers: deque[Output] = deque()
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> list[Output]:
        """What has come since, at least one answer; None ends a stream, a ServeError any call."""
        if not self._answers:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        answers = list(self._answers)
        self._answers.clear()
        return answers

    async def whole(self) -> BaseModel:
        """The one answer, folded from its chunks where the task streams. Raises the error that came instead."""
        fold = self.serves.task.fold
        chunks: list[BaseModel] = []
        while True:
            for answer in await self.next():
                if isinstance(answer, ServeError):
                    raise answer
                if answer is None:
                    assert fold, "an engine answers such a task with a response"
                    folded: BaseModel = fold(chunks)
                    return folded
                if not fold:
                    return answer
                chunks.append(answer)

    def deliver(self, answer: Output) -> None:
        """Called on the loop."""
        self._answers.append(answer)
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def fits(self, other: Ticket) -> bool:
        """Whether both may share a batch."""
        return self.serves is other.serves and not (self.alone or other.alone) and self.group == other.group

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self.ended or self.call.cancelled


class Outbox:
    """Carries answers from the engine's thread to the loop, waking it once for all that have gathered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Ticket, Output]] = deque()
        self._woken = False

    def put(self, ticket: Ticket, answer: Output) -> None:
        """Called on the engine's thread."""
        self._waiting.append((ticket, answer))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop has closed at the worker's end: nobody waits any more
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._woken = False  # before looking: what is put from now on wakes the loop again
        while self._waiting:
            ticket, answer = self._waiting.popleft()
            ticket.deliver(answer)


class Batch:
    """The calls that one run of a method has at work: they leave when they are over, and newcomers may join."""

    def __init__(self, oldest: Ticket) -> None:
        self.oldest = oldest  # decides who fits
        self.size = 0  # how many it has had
        self._tickets: dict[int, Ticket] = {}

    def add(self, tickets: list[Ticket]) -> list[Call[Any]]:
        """Take them in. Gives their calls."""
        self.size += len(tickets)
        self._tickets = {id(ticket.call): ticket for ticket in (*self.living(), *tickets)}
        return [ticket.call for ticket in tickets]

    def find(self, call: Call[Any]) -> Ticket | None:
        """The call's ticket, unless it is over."""
        ticket = self._tickets.get(id(call))
        return None if ticket is None or ticket.ended else ticket

    def living(self) -> list[Ticket]:
        """Those that wait for an answer."""
        return [ticket for ticket in self._tickets.values() if not ticket.is_over]


class Batcher:
    """Runs an engine's methods on the thread that calls `run`."""

    def __init__(self, engine: Engine, options: Options, out_of_memory: Callable[[], None]) -> None:
        self._engine = engine
        self._most = options.max_batch
        self._window = options.batch_window_ms / 1e3
        self._out_of_memory = out_of_memory
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._waiting: deque[Ticket] = deque()  # touched by the engine's thread alone
        self._stopped = False
        self._outbox: Outbox | None = None
        self.busy = False

    def submit(self, serves: ServedTask, call: Call[Any]) -> Ticket:
        """Queue a call; called on the loop. Raises what `group` raises."""
        self._outbox = self._outbox or Outbox(asyncio.get_running_loop())
        ticket = Ticket(serves, call)
        self._inbox.put(ticket)
        return ticket

    def stop(self) -> None:
        """Let `run` return once the batch in hand is done."""
        self._inbox.put(None)

    def run(self) -> None:
        """Answer calls until `stop`. Raises what has broken the process, which must then end: a lost GPU context."""
        while (oldest := self._oldest()) is not None:
            self.busy = True
            self._run_batch(Batch(oldest))
            self.busy = False

    # Forming a batch ------------------------------------------------------------------------------------------

    def _oldest(self) -> Ticket | None:
        """The call whose turn it is; None when the batcher is stopped."""
        while self._gather(block=not self._waiting):
            while self._waiting and self._waiting[0].call.cancelled:
                self._waiting.popleft()
            if self._waiting:
                self._wait_for_company(self._waiting[0])
                return self._waiting[0]
        return None

    def _gather(self, *, block: bool, timeout: float | None = None) -> bool:
        """Fetch what has been submitted, waiting for a first one if `block`. False once stopped."""
        with suppress(queue.Empty):
            while not self._stopped:
                ticket = self._inbox.get(block, timeout)
                if ticket is None:
                    self._stopped = True
                else:
                    self._waiting.append(ticket)
                block = False
        return not self._stopped

    def _wait_for_company(self, oldest: Ticket) -> None:
        if oldest.alone:
            return
        end = time.monotonic() + self._window
        while (left := end - time.monotonic()) > 0 and len(self._waiting) < self._limit(oldest.serves):
            if not self._gather(block=True, timeout=left):
                return  # what was gathered is answered first

    def _limit(self, serves: ServedTask) -> int:
        return min(serves.max_batch, self._most or serves.max_batch)

    def _take(self, oldest: Ticket, most: int) -> list[Ticket]:
        """Those that begin together: all that fit the oldest, in order. Whose client has left is dropped."""
        batch: list[Ticket] = []
        rest: deque[Ticket] = deque()
        for ticket in self._waiting:
            if ticket.call.cancelled:
                continue
            fits = ticket is oldest or (len(batch) < most and oldest.fits(ticket))
            (batch if fits else rest).append(ticket)
        self._waiting = rest
        return batch

    def _newcomers(self, oldest: Ticket, most: int) -> list[Ticket]:
        """Those that may join a batch at work: none who came after one that does not fit, which else never got in."""
        batch: list[Ticket] = []
        while self._waiting and len(batch) < most:
            ticket = self._waiting[0]
            if not (ticket.call.cancelled or oldest.fits(ticket)):
                break
            self._waiting.popleft()
            if not ticket.call.cancelled:
                batch.append(ticket)
        return batch

    def _feed(self, batch: Batch) -> Feed[Any]:
        limit = self._limit(batch.oldest.serves)

        def more(most: int) -> list[Call[Any]]:
            going_on = self._gather(block=False)
            room = min(most, limit - len(batch.living()))
            if not batch.size:
                return batch.add(self._take(batch.oldest, room))
            return batch.add(self._newcomers(batch.oldest, room)) if going_on else []

        return Feed(limit, more)

    # Running it -----------------------------------------------------------------------------------------------

    def _run_batch(self, batch: Batch) -> None:
        serves = batch.oldest.serves
        try:
            if serves.joins:
                self._run_method(batch, self._feed(batch))
            elif calls := batch.add(self._take(batch.oldest, self._limit(serves))):
                self._run_method(batch, calls)  # else everybody has left in the meantime
        except Exception as error:
            self._claim(batch)
            ids = ", ".join(ticket.call.id for ticket in batch.living())
            log.exception("%s failed for %s", serves.task.name, ids)
            if is_fatal(error):
                raise
            self._after_failure(batch, error)

    def _run_method(self, batch: Batch, calls: list[Call[Any]] | Feed[Any]) -> None:
        """Call the method once and pass its answers on."""
        answers: Iterator[tuple[Call[Any], Output]] = getattr(self._engine, batch.oldest.serves.method)(calls)
        for call, answer in answers:
            if ticket := batch.find(call):
                self._pass_on(ticket, answer)
            if not batch.living():
                break  # leaves the generator, which ends it
        self._claim(batch)
        for ticket in batch.living():
            self._end(ticket)

    def _claim(self, batch: Batch) -> None:
        """Where a method has not even taken the oldest call, it is the one to be told."""
        if not batch.size and batch.oldest in self._waiting:
            self._waiting.remove(batch.oldest)
            batch.add([batch.oldest])

    def _pass_on(self, ticket: Ticket, answer: Output) -> None:
        streams = ticket.serves.task.chunk is not None
        ticket.answered = True
        ticket.ended = answer is None or isinstance(answer, ServeError) or not streams
        if isinstance(answer, OutOfMemory):
            self._out_of_memory()
        assert self._outbox is not None, "a call comes through `submit`"
        self._outbox.put(ticket, answer)

    def _end(self, ticket: Ticket) -> None:
        """The method has ended: so has the stream; who has no answer at all is told so."""
        name = type(self._engine).__module__.rpartition(".")[2]
        unanswered = EngineFailed(f"The engine {name} ended without an answer to this request.")
        self._pass_on(ticket, None if ticket.answered else unanswered)

    def _after_failure(self, batch: Batch, error: Exception) -> None:
        """One failing request never takes another with it: those without any answer yet run again, each alone."""
        again: list[Ticket] = []
        for ticket in batch.living():
            if ticket.answered or batch.size == 1:
                self._pass_on(ticket, to_serve_error(error))
            else:
                ticket.alone = True
                again.append(ticket)
        self._waiting.extendleft(reversed(again))
