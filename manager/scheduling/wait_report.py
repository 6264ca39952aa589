"""What a waiting request waits for, as a sentence for its client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from contract.status import State
from manager.scheduling.wait_queue import WaitQueue
from manager.state.model import Model
from manager.state.worker import Worker


def report(request_id: str, queue: WaitQueue, models: dict[str, Model], workers: Sequence[Worker], now: float) -> Any:
    """`model`, `ahead` (earlier requests that wait), `waited` (seconds) and `message`; None if it does not wait."""
    waiters = sorted(queue, key=lambda waiter: waiter.ticket)
    place = next((place for place, waiter in enumerate(waiters) if waiter.request_id == request_id), None)
    if place is None or (model := models.get(waiters[place].model)) is None:
        return None
    own = [worker for worker in workers if worker.model == model.id]
    message = _loading(model, own, now) or _waiting(model, own, place)
    return {"model": model.id, "ahead": place, "waited": round(now - waiters[place].since, 3), "message": message}


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
