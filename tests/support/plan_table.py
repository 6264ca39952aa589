"""Situations for the scheduler's plan, and its decisions as lines of text, so that tests read as a table.

Memory is counted in plain units. Unless a row says otherwise, it is second 100, there is one device `gpu` of 10 units,
and each model was measured to need 4 of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from contract.status import State
from manager.scheduling.plan import Plan, admit
from manager.scheduling.views import Candidate, ModelView, Snapshot, WaiterView, WorkerView

NOW = 100.0


def worker(name: str, state: State = State.READY, *, leases: int = 0, size: int = 4, **fields: Any) -> WorkerView:
    """Worker `model#n`, on `gpu` unless `devices` says otherwise."""
    devices = fields.pop("devices", ("gpu",))
    defaults = {"last_used": 0.0, "started": 0.0}
    return WorkerView(name, name.partition("#")[0], state, leases, devices, size, **(defaults | fields))


def busy(name: str, **fields: Any) -> WorkerView:
    """A ready worker with one lease."""
    return worker(name, leases=1, **fields)


def starting(name: str, **fields: Any) -> WorkerView:
    return worker(name, State.STARTING, **fields)


def stopping(name: str, **fields: Any) -> WorkerView:
    return worker(name, State.STOPPING, **fields)


def draining(name: str, *, leases: int = 1, resumable: bool = True, **fields: Any) -> WorkerView:
    return worker(name, State.DRAINING, leases=leases, resumable=resumable, **fields)


def pinned(name: str, **fields: Any) -> WorkerView:
    return worker(name, evictable=False, **fields)


def model(id_: str, need: int = 4, *, on: tuple[str, ...] = ("gpu",), certain: bool = True, **fields: Any) -> ModelView:
    """A model that may run on any one of the devices `on`."""
    return ModelView(id_, tuple(Candidate((device,), need, certain) for device in on), **fields)


def waiting(*requests: str | tuple[str, float]) -> list[WaiterView]:
    """Requests in order of arrival: a model's id, or the id and for how many seconds the request has waited."""
    pairs = [(request, 0.0) if isinstance(request, str) else request for request in requests]
    return [WaiterView(ticket, id_, NOW - seconds) for ticket, (id_, seconds) in enumerate(pairs)]


def jobs(*requests: str | tuple[str, float] | tuple[str, float, int], after: int = 0) -> list[WaiterView]:
    """Requests of jobs in order of arrival, after `after` others: as for `waiting`, and the job's priority."""
    full = [(request, 0.0, 0) if isinstance(request, str) else (*request, 0)[:3] for request in requests]
    return [
        WaiterView(ticket, id_, NOW - waited, priority) for ticket, (id_, waited, priority) in enumerate(full, after)
    ]


def situation(
    requests: list[WaiterView], *workers: WorkerView, models: Iterable[ModelView] = (), **fields: Any
) -> Snapshot:
    """A snapshot in which `requests` wait; models that are not given are plain ones."""
    known = {waiter.model: model(waiter.model) for waiter in requests} | {entry.id: entry for entry in models}
    budget = fields.pop("budget", {"gpu": 10})
    return Snapshot(NOW, requests, workers, known, budget, fields.pop("largest_budget", budget), **fields)


def row(meaning: str, expected: list[str], *args: Any, **fields: Any) -> Any:
    """One row of a table: what it shows, the expected decisions, and the arguments of `situation`."""
    return pytest.param(situation(*args, **fields), expected, id=meaning)


def decisions(snapshot: Snapshot) -> list[str]:
    """The plan for a snapshot, one line per decision."""
    return lines(admit(snapshot))


def lines(plan: Plan) -> list[str]:
    return [
        *(f"grant {ticket}: {name}" for ticket, name in plan.grants),
        *(f"start {id_} on {'+'.join(place.devices)} with {place.need}" for id_, place in plan.starts),
        *(f"stop {name}, {reason}" for name, reason in plan.stops),
        *(f"drain {name}, {reason}" for name, reason in plan.drains),
        *(f"resume {name}" for name in plan.resumes),
        *(f"refuse {id_}: never fits" for id_ in plan.never_fits),
        *(f"refuse {id_}: backing off" for id_ in plan.backing_off),
        *([f"wake at {plan.wake_at:g}"] if plan.wake_at is not None else []),
    ]
