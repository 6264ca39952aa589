"""The requests that wait for a worker, in order of arrival, and the errors of those that wait in vain."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contract.errors import Evicted, NeverFits, QueueFull, ServeError
from manager.memory.budget import Ceilings
from manager.memory.device import GIB
from manager.state.model import Model
from manager.state.worker import Worker


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request brings along when it asks for a worker: its id and, if it is a job's, the job's priority."""

    request_id: str = ""
    job: int | None = None


INTERACTIVE = Claim()
"""The claim of a request that is no job's, and that no status names."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A waiting request. `future` gets its worker, or the error that it is refused with.

    Without a `request_id`, it is an early start: of a model that is preloaded, or loaded by an operator in advance.
    """

    ticket: int
    model: str
    since: float
    deadline: float
    claim: Claim
    future: asyncio.Future[Worker]


@dataclass(slots=True)
class Lease:
    """The right to use a worker until it has sent the last byte of its response.

    `queued` and `loading` are the seconds that the request waited in the queue and for the model to load.
    """

    worker: Worker
    queued: float
    loading: float
    claim: Claim
    status: int = 200  # of the worker's response
    succeeded: bool = False


class WaitQueue:
    """The waiting requests of all models. Times are on the event loop's clock."""

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
        """The models that requests wait for."""
        return {waiter.model for waiter in self._waiters.values()}

    @property
    def next_deadline(self) -> float | None:
        return min((waiter.deadline for waiter in self._waiters.values()), default=None)

    def append(self, model: Model, max_wait: float, claim: Claim) -> Waiter:
        """Add a request at the end. Raises QueueFull, but not for a job: the gateway has few of each model here."""
        waiting = sum(1 for w in self._waiters.values() if w.model == model.id and w.claim.job is None)
        if claim.job is None and waiting >= model.spec.max_queue:
            message = f"{waiting} requests already wait for {model.id}. Try again later, or raise its `max_queue`."
            raise QueueFull(message, details={"model": model.id, "waiting": waiting, "retry_after": 2}, retry_after=2)
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiter = Waiter(next(self._tickets), model.id, now, now + max_wait, claim, loop.create_future())
        self._waiters[waiter.ticket] = waiter
        return waiter

    def remove(self, ticket: int) -> Waiter | None:
        """Remove and return a request; None if it is not in the queue any more."""
        return self._waiters.pop(ticket, None)

    def refuse(self, waiter: Waiter, error: ServeError) -> None:
        self.remove(waiter.ticket)
        if not waiter.future.done():
            waiter.future.set_exception(error)

    def refuse_all(self, model_id: str, error: ServeError) -> None:
        """Refuse every request that waits for the model."""
        for waiter in self:
            if waiter.model == model_id:
                self.refuse(waiter, error)

    def refuse_early(self, model_id: str) -> None:
        """Give up the model's early starts, since an operator stops it."""
        for waiter in self:
            if waiter.model == model_id and not waiter.claim.request_id:
                self.refuse(waiter, Evicted(f"{model_id} was evicted before it was loaded."))

    def overdue(self, now: float) -> list[Waiter]:
        """The requests whose deadline has passed."""
        return [waiter for waiter in self._waiters.values() if waiter.deadline <= now]


def never_fits(model: Model, requirements: Mapping[str, tuple[int, Ceilings]]) -> NeverFits:
    """The error for a model that no device of this machine can hold. `requirements`: bytes and limits by device."""
    details: dict[str, Any] = {
        "model": model.id,
        "needs_bytes": min((need for need, _ in requirements.values()), default=0),
        "available_bytes": {device: ceilings.attainable for device, (_, ceilings) in requirements.items()},
        "ceilings": [ceilings.details() for _, ceilings in requirements.values()],
    }
    if not requirements:
        message = f"{model.id} runs on {' or '.join(model.capabilities.devices)}, and this machine has none of them."
        return NeverFits(message, details=details)
    need, ceilings = max(requirements.values(), key=lambda pair: pair[1].attainable - pair[0])
    what = f"{need / GIB:.2f} GiB" if need else "memory"
    message = (
        f"{model.id} needs {what} to load, and at most {ceilings.attainable / GIB:.2f} GiB can be made "
        f"available on {ceilings.device}: {ceilings}. Choose a smaller or quantised model, or raise a limit."
    )
    return NeverFits(message, details=details)


def evicted(worker: Worker) -> Evicted:
    """The error of a request whose worker was ended before it was done with it."""
    message = f"{worker.name} was stopped before it had finished this request ({worker.reason}). Send it again."
    return Evicted(message, details={"model": worker.model, "worker": worker.name}, retry_after=1)


def loop_time() -> float:
    """The time in seconds on the event loop's clock."""
    return asyncio.get_running_loop().time()
