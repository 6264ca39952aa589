"""What the plan sees of the scheduler's state: plain values, frozen at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.status import State


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a model could run: bytes needed on each of its devices. `certain`: measured, not guessed.

    `required`: the part of a measured need without which the model cannot be loaded; None: all of it.
    """

    devices: tuple[str, ...]
    need: int
    certain: bool = False
    required: int | None = None

    @property
    def least(self) -> int:
        """Bytes below which a start is known to be hopeless."""
        if not self.certain:
            return 0
        return self.need if self.required is None else self.required


class Leasable(Protocol):
    """What matters for the choice between a model's workers."""

    @property
    def name(self) -> str: ...
    @property
    def last_used(self) -> float: ...


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker in a snapshot. `committed`: bytes set aside for it on each of its devices. Times in seconds.

    `job_leases` of its leases are those of jobs. `guarded_until`: it was in use lately, and jobs must not evict it.
    """

    name: str
    model: str
    state: State
    leases: int
    devices: tuple[str, ...]
    committed: int
    last_used: float
    started: float
    evictable: bool = True
    resumable: bool = False  # it drains only to make room, so it may take leases again
    expires: float | None = None
    job_leases: int = 0
    guarded_until: float = float("-inf")


@dataclass(frozen=True, slots=True)
class WaiterView:
    """A waiting request in a snapshot. Tickets are numbered in order of arrival; `job` is the priority of a job."""

    ticket: int
    model: str
    since: float
    job: int | None = None


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model that requests wait for. `retry_at`: it backs off until then."""

    id: str
    candidates: tuple[Candidate, ...]
    replicas: int = 1
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a decision depends on.

    `budget`: bytes of each device that all workers together may hold now. `largest_budget`: the same if no other
    program used any memory. `models` has an entry for every model that requests wait for.
    """

    now: float
    waiters: Sequence[WaiterView]
    workers: Sequence[WorkerView]
    models: Mapping[str, ModelView]
    budget: Mapping[str, int]
    largest_budget: Mapping[str, int]
    max_leases: int = 64
    swap_after: float = 5.0
    job_max_wait: float = 600.0
