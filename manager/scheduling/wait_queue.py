"""Who waits for a model, in the order of arrival, and what those hear who wait in vain."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contract.errors import DeadlinePassed, NeverFits, QueueFull, ServeError, ShuttingDown
from contract.status import State
from manager.memory import GIB
from manager.scheduling.plan import WaiterView
from manager.state.model import Model
from manager.state.worker import Worker


@dataclass(eq=False, slots=True)
class Waiter:
    """A request that waits; `future` gets its worker, or the reason why there is none."""

    ticket: int
    model: str
    since: float
    deadline: float
    keep_alive: float | None
    future: asyncio.Future[Worker]

    def view(self) -> WaiterView:
        return WaiterView(self.ticket, self.model, self.since)


@dataclass(slots=True)
class Lease:
    """The right to use a worker until the last byte of the answer is out. Times in seconds."""

    worker: Worker
    queued: float
    loaded: float


class WaitQueue:
    """The queue of the house. Times are the event loop's."""

    def __init__(self) -> None:
        self._waiters: dict[int, Waiter] = {}
        self._tickets = itertools.count()

    def __iter__(self) -> Iterator[Waiter]:
        return iter(list(self._waiters.values()))

    def __len__(self) -> int:
        return len(self._waiters)

    def count(self, model_id: str) -> int:
        return sum(1 for waiter in self._waiters.values() if waiter.model == model_id)

    @property
    def models(self) -> set[str]:
        """The models that somebody waits for."""
        return {waiter.model for waiter in self._waiters.values()}

    @property
    def first_deadline(self) -> float | None:
        return min((waiter.deadline for waiter in self._waiters.values()), default=None)

    def enter(self, model: Model, keep_alive: float | None, longest: float) -> Waiter:
        """Take a place at the end. Raises QueueFull."""
        if self._waiters and (waiting := self.count(model.id)) >= model.spec.max_queue:
            message = f"{waiting} requests already wait for {model.id}. Try again later, or raise its `max_queue`."
            raise QueueFull(message, details={"model": model.id, "waiting": waiting, "retry_after": 2}, retry_after=2)
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiter = Waiter(next(self._tickets), model.id, now, now + longest, keep_alive, loop.create_future())
        self._waiters[waiter.ticket] = waiter
        return waiter

    def take(self, ticket: int) -> Waiter | None:
        """Out of the queue, if it is still there."""
        return self._waiters.pop(ticket, None)

    def refuse(self, waiter: Waiter, error: ServeError) -> None:
        self.take(waiter.ticket)
        if not waiter.future.done():
            waiter.future.set_exception(error)

    def refuse_all(self, model_id: str, error: ServeError) -> None:
        """Refuse everybody who waits for one model."""
        for waiter in self:
            if waiter.model == model_id:
                self.refuse(waiter, error)

    def late(self, now: float) -> list[Waiter]:
        """Those whose deadline has passed."""
        return [waiter for waiter in self._waiters.values() if waiter.deadline <= now]


def too_late(waiter: Waiter, now: float, state: State, numbers: dict[str, Any]) -> DeadlinePassed:
    """The deadline passed while it waited."""
    message = (
        f"{waiter.model} was not free within {now - waiter.since:.0f} s (it is {state}). "
        "Try again later, or allow a longer wait."
    )
    return DeadlinePassed(message, details={"model": waiter.model, "state": state, **numbers})


def never_fits(model: Model, numbers: dict[str, Any]) -> NeverFits:
    """No device of the machine can ever hold it."""
    if not numbers["available_bytes"]:
        message = f"{model.id} runs on {' or '.join(model.offer.devices)}, and this machine has none of them."
        return NeverFits(message, details=numbers)
    need, most = numbers["needs_bytes"] / GIB, max(numbers["available_bytes"].values()) / GIB
    message = (
        f"{model.id} needs {need:.2f} GiB, and at most {most:.2f} GiB can be had here. Choose a smaller or quantised "
        "model, lower memory.safety_margin_gb, or unpin another model."
    )
    return NeverFits(message, details=numbers)


def closing() -> ShuttingDown:
    """The manager takes no more requests."""
    return ShuttingDown("The manager is shutting down. Try again in a moment.", retry_after=5)
