"""What a waiting request waits for, as a sentence for its client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from contract.errors import DeadlinePassed
from contract.status import LOADED, State
from manager.memory.budget import Ceilings
from manager.memory.device import GIB
from manager.memory.monitor import MemoryMonitor
from manager.processes.supervisor import Supervisor
from manager.scheduling import snapshot
from manager.scheduling.wait_queue import Waiter, WaitQueue
from manager.state.model import Model
from manager.state.worker import Worker

Needs = Mapping[str, tuple[int, Ceilings]]
"""By device: the bytes that a model needs there, and what limits the memory that it could get."""


def report(
    request_id: str, queue: WaitQueue, models: dict[str, Model], workers: Sequence[Worker], now: float
) -> dict[str, Any] | None:
    """One request's report, as in `reports`; None if it does not wait."""
    return next(iter(reports(queue, models, workers, now, only={request_id})), None)


def reports(
    queue: WaitQueue,
    models: dict[str, Model],
    workers: Sequence[Worker],
    now: float,
    *,
    only: Set[str] | None = None,
) -> list[dict[str, Any]]:
    """The waiting requests in their order, or `only` those with these ids.

    Each has its id as `request`, the `model`, `ahead` (earlier requests that wait), `waited` (seconds) and `message`.
    """
    waits = []
    for place, waiter in enumerate(sorted(queue, key=lambda waiter: waiter.ticket)):
        if only is not None and waiter.claim.request_id not in only:
            continue
        if model := models.get(waiter.model):
            own = [worker for worker in workers if worker.model == model.id]
            message = _loading(model, own, now) or _waiting(model, own, place)
            wait = {"request": waiter.claim.request_id, "model": model.id, "ahead": place}
            waits.append({**wait, "waited": round(now - waiter.since, 3), "message": message})
    return waits


def deadline_passed(
    waiter: Waiter, model: Model, monitor: MemoryMonitor, supervisor: Supervisor, now: float
) -> DeadlinePassed:
    """The error of a request that has waited until its deadline: why in vain, and what to do."""
    workers = supervisor.workers
    why = _in_vain(model, workers, snapshot.needs(model, monitor, workers), now)
    message = f"{model.id} was not available within {now - waiter.since:.0f} s. {why}"
    details = snapshot.memory_numbers(model, monitor, workers)
    return DeadlinePassed(message, details=details | {"state": supervisor.state_of(model)})


def _in_vain(model: Model, workers: Iterable[Worker], needs: Needs, now: float) -> str:
    own = [worker for worker in workers if worker.model == model.id]
    again = "Send the request again, or allow a longer wait (`X-Max-Wait`, `resources.max_wait`)."
    if loading := _loading(model, own, now):
        return f"Enginehouse is {loading}. {again}"
    if any(worker.state in LOADED for worker in own):
        return f"It was busy with other requests. {again}"
    if not needs:
        return f"It has no worker. {again}"
    need, ceilings = max(needs.values(), key=lambda pair: pair[1].attainable - pair[0])
    return (
        f"There was no memory for it on {ceilings.device}: it needs {need / GIB:.2f} GiB. Models can have "
        f"{ceilings}, of which other programs use {ceilings.other_programs / GIB:.2f} GiB and running models the rest. "
        "Free memory, evict or unpin a model, or change the limits under `memory` in config.yaml."
    )


def _loading(model: Model, workers: Iterable[Worker], now: float) -> str | None:
    started = [worker.started for worker in workers if worker.state is State.STARTING]
    if not started:
        return None
    if not model.load_seconds:
        return f"loading {model.id} for the first time"
    left = sum(model.load_seconds) / len(model.load_seconds) - (now - min(started))
    starts = "start" if len(model.load_seconds) == 1 else f"{len(model.load_seconds)} starts"
    if left < 1:
        return f"loading {model.id}, longer than its last {starts} took"
    return f"loading {model.id}, about {left:.0f} s left by its last {starts}"


def _waiting(model: Model, workers: Iterable[Worker], ahead: int) -> str:
    runs = any(worker.state is State.READY for worker in workers)
    what = f"waiting until {model.id} is free" if runs else f"waiting for memory for {model.id}"
    return f"{what}, behind {ahead} other{'s' * (ahead > 1)}" if ahead else what
