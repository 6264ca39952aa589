"""Batches calls: calls that are waiting and fit together become one call of the engine's method, on one thread.

A method with `joins` gets a feed instead and takes waiting calls from it whenever it has room: its batch is then
whatever it is working on.

The event loop submits calls and reads their answers; the engine's thread forms batches and runs them. The two share
two queues and need no lock of their own: calls go over in a SimpleQueue, answers come back in a deque, with one wake-up
of the event loop for all answers that have gathered.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from contract.errors import EngineFailed, OutOfMemory, ServeError
from contract.status import EngineActivity
from workers.engine import Call, Engine, Feed, Options, Output, ServedTask
from workers.failures import is_fatal, to_serve_error
from workers.tickets import Outbox, Ticket

log = logging.getLogger(__name__)


class Batch:
    """The calls that one run of a method works on: finished ones drop out, and new ones may join."""

    def __init__(self, oldest: Ticket) -> None:
        self.oldest = oldest  # only calls that fit it may share the batch
        self.size = 0  # how many calls it has had so far
        self._tickets: dict[int, Ticket] = {}

    def add(self, tickets: list[Ticket]) -> list[Call[Any]]:
        """Add tickets and return their calls."""
        self.size += len(tickets)
        self._tickets = {id(ticket.call): ticket for ticket in (*self.unfinished(), *tickets)}
        return [ticket.call for ticket in tickets]

    def find(self, call: Call[Any]) -> Ticket | None:
        """The call's ticket, unless it has ended."""
        ticket = self._tickets.get(id(call))
        return None if ticket is None or ticket.ended else ticket

    def unfinished(self) -> list[Ticket]:
        """The tickets that still wait for an answer."""
        return [ticket for ticket in self._tickets.values() if not ticket.finished]


class Batcher:
    """Runs an engine's methods on the thread that calls `run`."""

    def __init__(self, engine: Engine, options: Options, on_out_of_memory: Callable[[], None]) -> None:
        self._engine = engine
        self._max_batch = options.max_batch
        self._window = options.batch_window_ms / 1e3
        self._on_out_of_memory = on_out_of_memory
        self._submitted: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()  # None: stop
        self._waiting: deque[Ticket] = deque()  # used by the engine's thread only
        self._stopped = False
        self._outbox: Outbox | None = None
        self._batch: Batch | None = None
        self.begun = threading.Event()  # set with each batch; whoever follows the engine's work clears it

    def submit(self, served: ServedTask, call: Call[Any]) -> Ticket:
        """Queue a call. Called on the event loop. Raises what the task's `group` raises."""
        self._outbox = self._outbox or Outbox(asyncio.get_running_loop())
        ticket = Ticket(served, call)
        self._submitted.put(ticket)
        return ticket

    def stop(self) -> None:
        """Let `run` return after the current batch."""
        self._submitted.put(None)

    def run(self) -> None:
        """Answer calls until `stop`. Raises errors that are fatal to the process, such as a lost GPU context."""
        while (oldest := self._next_oldest()) is not None:
            self._batch = Batch(oldest)
            self.begun.set()
            self._run_batch(self._batch)
            self._batch = None

    @property
    def busy(self) -> bool:
        """Whether the engine's thread is in a batch."""
        return self._batch is not None

    @property
    def activity(self) -> EngineActivity:
        """What the engine's thread does. It is `abandoned` while it works on what no client waits for any more."""
        batch = self._batch
        if batch is None:
            return "idle"
        return "working" if batch.unfinished() or not batch.size else "abandoned"

    # Forming a batch ------------------------------------------------------------------------------------------

    def _next_oldest(self) -> Ticket | None:
        """The oldest waiting call, which the next batch forms around; None once the batcher is stopped."""
        while self._collect(block=not self._waiting):
            while self._waiting and self._waiting[0].call.cancelled:
                self._waiting.popleft()
            if self._waiting:
                self._wait_for_more(self._waiting[0])
                return self._waiting[0]
        return None

    def _collect(self, *, block: bool, timeout: float | None = None) -> bool:
        """Move submitted calls to `_waiting`; with `block`, wait for the first. False once the batcher is stopped."""
        with suppress(queue.Empty):
            while not self._stopped:
                ticket = self._submitted.get(block, timeout)
                if ticket is None:
                    self._stopped = True
                else:
                    self._waiting.append(ticket)
                block = False
        return not self._stopped

    def _wait_for_more(self, oldest: Ticket) -> None:
        if oldest.alone:
            return
        deadline = time.monotonic() + self._window
        while (left := deadline - time.monotonic()) > 0 and len(self._waiting) < self._limit(oldest.served):
            if not self._collect(block=True, timeout=left):
                return  # stopped: the calls that were collected are still answered

    def _limit(self, served: ServedTask) -> int:
        return min(served.max_batch, self._max_batch or served.max_batch)

    def _take_fitting(self, oldest: Ticket, room: int) -> list[Ticket]:
        """Take the calls that start together: all that fit the oldest, in order. Drops cancelled ones."""
        batch: list[Ticket] = []
        rest: deque[Ticket] = deque()
        for ticket in self._waiting:
            if ticket.call.cancelled:
                continue
            fits = ticket is oldest or (len(batch) < room and oldest.fits(ticket))
            (batch if fits else rest).append(ticket)
        self._waiting = rest
        return batch

    def _take_joining(self, oldest: Ticket, room: int) -> list[Ticket]:
        """Take the calls that may join a running batch: none behind a call that does not fit, or that would starve."""
        batch: list[Ticket] = []
        while self._waiting and len(batch) < room:
            ticket = self._waiting[0]
            if not (ticket.call.cancelled or oldest.fits(ticket)):
                break
            self._waiting.popleft()
            if not ticket.call.cancelled:
                batch.append(ticket)
        return batch

    def _feed(self, batch: Batch) -> Feed[Any]:
        limit = self._limit(batch.oldest.served)

        def more(room: int) -> list[Call[Any]]:
            running = self._collect(block=False)
            room = min(room, limit - len(batch.unfinished()))
            if not batch.size:
                return batch.add(self._take_fitting(batch.oldest, room))
            return batch.add(self._take_joining(batch.oldest, room)) if running else []

        return Feed(limit, more)

    # Running it -----------------------------------------------------------------------------------------------

    def _run_batch(self, batch: Batch) -> None:
        served = batch.oldest.served
        try:
            if served.joins:
                self._run_method(batch, self._feed(batch))
            elif calls := batch.add(self._take_fitting(batch.oldest, self._limit(served))):
                self._run_method(batch, calls)  # skipped if every call has been cancelled meanwhile
        except Exception as error:
            self._take_oldest(batch)
            ids = ", ".join(ticket.call.id for ticket in batch.unfinished())
            log.exception("%s failed for %s", served.task.name, ids)
            if is_fatal(error):
                raise
            self._after_failure(batch, error)

    def _run_method(self, batch: Batch, calls: list[Call[Any]] | Feed[Any]) -> None:
        """Call the method once and deliver its answers."""
        answers: Iterator[tuple[Call[Any], Output]] = getattr(self._engine, batch.oldest.served.method)(calls)
        for call, answer in answers:
            if ticket := batch.find(call):
                self._deliver(ticket, answer)
            if not batch.unfinished():
                break  # dropping the generator closes it
        self._take_oldest(batch)
        for ticket in batch.unfinished():
            self._end(ticket)

    def _take_oldest(self, batch: Batch) -> None:
        """If a method took no call at all, put the oldest into the batch: it then gets the error."""
        if not batch.size and batch.oldest in self._waiting:
            self._waiting.remove(batch.oldest)
            batch.add([batch.oldest])

    def _deliver(self, ticket: Ticket, answer: Output) -> None:
        streams = ticket.served.task.chunk is not None
        ticket.answered = True
        ticket.ended = answer is None or isinstance(answer, ServeError) or not streams
        if isinstance(answer, OutOfMemory):
            self._on_out_of_memory()
        assert self._outbox is not None, "`submit` creates it with the first call"
        self._outbox.put(ticket, answer)

    def _end(self, ticket: Ticket) -> None:
        """The method has returned: end the call's stream, or fail it if it got no answer at all."""
        name = type(self._engine).__module__.rpartition(".")[2]
        unanswered = EngineFailed(f"The engine {name} returned without an answer to this request.")
        self._deliver(ticket, None if ticket.answered else unanswered)

    def _after_failure(self, batch: Batch, error: Exception) -> None:
        """Keep one failing request from failing others: calls without an answer run again, each alone."""
        retries: list[Ticket] = []
        for ticket in batch.unfinished():
            if ticket.answered or batch.size == 1:
                self._deliver(ticket, to_serve_error(error))
            else:
                ticket.alone = True
                retries.append(ticket)
        self._waiting.extendleft(reversed(retries))
