"""Calls in the batcher, and the way of their answers from the engine's thread to the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from contract.errors import ServeError
from workers.engine import Call, Output, ServedTask


class Ticket:
    """One call in the batcher, and the answers that have come back for it."""

    __slots__ = ("_answers", "_waiter", "alone", "answered", "call", "ended", "group", "served")

    def __init__(self, served: ServedTask, call: Call[Any]) -> None:
        self.served = served
        self.call = call
        self.group = served.group(call.request) if served.group else None
        self.alone = call.alone  # also set when a batch with this call has failed
        self.answered = False  # the engine's thread has delivered at least one answer
        self.ended = False  # ... and the last one
        self._answers: deque[Output] = deque()
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> list[Output]:
        """Wait for answers; at least one. None ends a stream, a ServeError ends any call."""
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
        """The call's response, folded from its chunks if the task streams. Raises the call's ServeError."""
        fold = self.served.task.fold
        chunks: list[BaseModel] = []
        while True:
            for answer in await self.next():
                if isinstance(answer, ServeError):
                    raise answer
                if answer is None:
                    assert fold, "only a task with chunks ends with None"
                    folded: BaseModel = fold(chunks)
                    return folded
                if not fold:
                    return answer
                chunks.append(answer)

    def deliver(self, answer: Output) -> None:
        """Add an answer. Called on the event loop."""
        self._answers.append(answer)
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def fits(self, other: Ticket) -> bool:
        """Whether both calls may share a batch."""
        same_method = self.served.method == other.served.method
        return same_method and not (self.alone or other.alone) and self.group == other.group

    @property
    def finished(self) -> bool:
        """Whether the call needs no further answer: it has ended, or its client has disconnected."""
        return self.ended or self.call.cancelled


class Outbox:
    """Carries answers from the engine's thread to the event loop, with one wake-up for all that have gathered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pending: deque[tuple[Ticket, Output]] = deque()
        self._wakeup_scheduled = False

    def put(self, ticket: Ticket, answer: Output) -> None:
        """Hand over an answer. Called on the engine's thread."""
        self._pending.append((ticket, answer))
        if not self._wakeup_scheduled:
            self._wakeup_scheduled = True
            with suppress(RuntimeError):  # the loop is closed: the worker is shutting down, and no client waits
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._wakeup_scheduled = False  # reset before reading: an answer put from now on schedules another wake-up
        while self._pending:
            ticket, answer = self._pending.popleft()
            ticket.deliver(answer)
