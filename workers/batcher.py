"""Queue, batch, one thread: what waits and fits together becomes one call of the engine's method.

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

from contract.errors import EngineFailed, OutOfMemory, ServeError
from workers.engine import Answer, Call, Engine, Options, Serves
from workers.failures import as_answer, breaks_the_process

log = logging.getLogger(__name__)


class Ticket:
    """One call on its way through the batcher, and the answers that have come back for it."""

    __slots__ = ("_answers", "_waiter", "answered", "call", "ended", "group", "serves")

    def __init__(self, serves: Serves, call: Call[Any]) -> None:
        self.serves = serves
        self.call = call
        self.group = serves.group(call.request) if serves.group else None
        self.answered = False  # the engine's thread has given some answer
        self.ended = False  # ... and the last one
        self._answers: deque[Answer] = deque()
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> list[Answer]:
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

    def deliver(self, answer: Answer) -> None:
        """Called on the loop."""
        self._answers.append(answer)
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def fits(self, other: Ticket) -> bool:
        """Whether both may share a batch."""
        return self.serves is other.serves and not (self.call.alone or other.call.alone) and self.group == other.group


class Outbox:
    """Carries answers from the engine's thread to the loop, waking it once for all that have gathered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Ticket, Answer]] = deque()
        self._woken = False

    def put(self, ticket: Ticket, answer: Answer) -> None:
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


class Batcher:
    """Runs an engine's methods on the thread that calls `run`."""

    def __init__(self, engine: Engine, options: Options, out_of_memory: Callable[[], None]) -> None:
        self._engine = engine
        self._most = options.max_batch
        self._window = options.batch_window_ms / 1e3
        self._out_of_memory = out_of_memory
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._waiting: deque[Ticket] = deque()  # touched by the engine's thread alone
        self._outbox: Outbox | None = None
        self.busy = False

    def submit(self, serves: Serves, call: Call[Any]) -> Ticket:
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
        while (batch := self._next_batch()) is not None:
            self.busy = True
            self._run_batch(batch)
            self.busy = False

    # Forming a batch ------------------------------------------------------------------------------------------

    def _next_batch(self) -> list[Ticket] | None:
        """The oldest call and those that fit it, in order; None when the batcher is stopped."""
        while self._gather(block=not self._waiting):
            while self._waiting and self._waiting[0].call.cancelled:
                self._waiting.popleft()
            if self._waiting:
                self._wait_for_company(self._waiting[0])
                return self._take(self._waiting[0])
        return None

    def _gather(self, *, block: bool, timeout: float | None = None) -> bool:
        """Fetch what has been submitted, waiting for a first one if `block`. False once stopped."""
        try:
            ticket = self._inbox.get(block, timeout)
            while ticket is not None:
                self._waiting.append(ticket)
                ticket = self._inbox.get_nowait()
        except queue.Empty:
            return True
        return False

    def _wait_for_company(self, oldest: Ticket) -> None:
        if oldest.call.alone:
            return
        end = time.monotonic() + self._window
        while (left := end - time.monotonic()) > 0 and len(self._waiting) < self._limit(oldest.serves):
            if not self._gather(block=True, timeout=left):
                self.stop()  # what was gathered is answered first
                return

    def _limit(self, serves: Serves) -> int:
        return min(serves.max_batch, self._most or serves.max_batch)

    def _take(self, oldest: Ticket) -> list[Ticket]:
        """Oldest first, and the oldest decides who fits; whose client has left is dropped."""
        limit = self._limit(oldest.serves)
        batch: list[Ticket] = []
        rest: deque[Ticket] = deque()
        for ticket in self._waiting:
            if ticket.call.cancelled:
                continue
            fits = ticket is oldest or (len(batch) < limit and oldest.fits(ticket))
            (batch if fits else rest).append(ticket)
        self._waiting = rest
        return batch

    # Running it -----------------------------------------------------------------------------------------------

    def _run_batch(self, batch: list[Ticket]) -> None:
        try:
            if batch:  # everybody may have left in the meantime
                self._run_method(batch)
        except Exception as error:
            ids = ", ".join(ticket.call.id for ticket in batch)
            log.exception("%s failed for %s", batch[0].serves.task.name, ids)
            if breaks_the_process(error):
                raise
            self._after_failure(batch, error)

    def _run_method(self, batch: list[Ticket]) -> None:
        """Call the method once and pass its answers on."""
        serves = batch[0].serves
        by_call = {id(ticket.call): ticket for ticket in batch}
        answers: Iterator[tuple[Call[Any], Answer]] = getattr(self._engine, serves.method)([t.call for t in batch])
        for call, answer in answers:
            ticket = by_call[id(call)]
            if not ticket.ended:
                self._pass_on(ticket, answer)
            if all(t.ended or t.call.cancelled for t in batch):
                break  # leaves the generator, which ends it
        for ticket in batch:
            self._end(ticket)

    def _pass_on(self, ticket: Ticket, answer: Answer) -> None:
        streams = ticket.serves.task.chunk is not None
        ticket.answered = True
        ticket.ended = answer is None or isinstance(answer, ServeError) or not streams
        if isinstance(answer, OutOfMemory):
            self._out_of_memory()
        assert self._outbox is not None, "a call comes through `submit`"
        self._outbox.put(ticket, answer)

    def _end(self, ticket: Ticket) -> None:
        """The method has ended: so have the streams; who has no answer at all is told so."""
        if ticket.ended or ticket.call.cancelled:
            return
        name = type(self._engine).__module__.rpartition(".")[2]
        unanswered = EngineFailed(f"The engine {name} ended without an answer to this request.")
        self._pass_on(ticket, None if ticket.answered else unanswered)

    def _after_failure(self, batch: list[Ticket], error: Exception) -> None:
        """One failing request never takes another with it: those without any answer yet run again, each alone."""
        again = [ticket for ticket in batch if not (ticket.answered or ticket.call.cancelled)]
        if len(batch) > 1:
            for ticket in batch:
                if ticket.answered and not ticket.ended:
                    self._pass_on(ticket, as_answer(error))
            for ticket in again:
                self._run_batch([ticket])
            return
        if not batch[0].ended:
            self._pass_on(batch[0], as_answer(error))
