"""Who is served, started, drained and stopped: pure decisions over a snapshot, without clock, I/O or logging.

The rules, in the order in which they are applied:

1. Whoever waits for a model with an open worker gets the least-loaded one, in the order of arrival.
2. Whoever waits for a model without one gets a start, if its footprint fits into what is free.
3. If it does not fit, idle workers go, least recently used first, but only if that is enough.
4. Who has waited `swap_after` closes busy workers too, least recently started first, and reserves their memory, so that
   nobody younger can take it: that is why nobody starves. A start that others wait for is not broken off: its memory is
   reserved as well, and it counts as busy once it is ready.
5. A model whose workers are all busy gets another replica, if that costs nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from contract.status import State

LIVE = frozenset({State.STARTING, State.READY, State.DRAINING, State.STOPPING})
LEAVING = frozenset({State.DRAINING, State.STOPPING})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a model could go: bytes needed on each device. `certain`: learned, not guessed."""

    devices: tuple[str, ...]
    need: int
    certain: bool = False


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as the plan sees it. `held` is what it holds or will hold, in bytes a device; times in seconds."""

    name: str
    model: str
    state: State
    leases: int
    devices: tuple[str, ...]
    held: int
    last_used: float
    started: float
    evictable: bool = True
    resumable: bool = False  # draining only to make room: may be opened again
    expires: float | None = None


class Leasable(Protocol):
    """What counts when one of several workers is chosen."""

    @property
    def name(self) -> str: ...
    @property
    def last_used(self) -> float: ...


@dataclass(frozen=True, slots=True)
class WaiterView:
    """One request that waits for a model."""

    ticket: int
    model: str
    since: float


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model that somebody waits for. `retry_at`: no start before that time."""

    id: str
    candidates: tuple[Candidate, ...]
    replicas: int = 1
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The whole snapshot. `budget`: bytes that may be handed out of each device now; `ceiling`: at the very best."""

    now: float
    waiters: Sequence[WaiterView]
    workers: Sequence[WorkerView]
    models: Mapping[str, ModelView]
    budget: Mapping[str, int]
    ceiling: Mapping[str, int]
    max_leases: int = 64
    swap_after: float = 5.0


@dataclass(slots=True)
class Plan:
    """What is to be done, in terms of tickets and worker names."""

    grants: list[tuple[int, str]] = field(default_factory=list)
    starts: list[tuple[str, Candidate]] = field(default_factory=list)
    stops: list[tuple[str, str]] = field(default_factory=list)  # worker, reason
    drains: list[tuple[str, str]] = field(default_factory=list)
    resumes: list[str] = field(default_factory=list)
    never_fits: list[str] = field(default_factory=list)  # models
    backing_off: list[str] = field(default_factory=list)  # models
    wake_at: float | None = None

    @property
    def changes_workers(self) -> bool:
        """Whether it says more than who gets which worker."""
        return bool(self.starts or self.stops or self.drains or self.resumes or self.never_fits)


def admit(view: View) -> Plan:
    """Decide what happens now. Deterministic: equal views give equal plans."""
    return _Planner(view).run()


def expired(workers: Iterable[WorkerView], wanted: set[str], now: float) -> tuple[list[str], float | None]:
    """Workers whose idle time is over, and the time at which the next one's will be."""
    idle = {w.name: w.expires for w in workers if w.state is State.READY and w.leases == 0 and w.model not in wanted}
    over = [name for name, expires in idle.items() if expires is not None and expires <= now]
    return over, min((e for name, e in idle.items() if e is not None and name not in over), default=None)


def preference(worker: Leasable, leases: int) -> tuple[int, float, str]:
    """Which of a model's open workers is to be leased: the least. Ties go to the one that was used the longest ago."""
    return leases, worker.last_used, worker.name


class _Planner:
    """The plan while it grows, with the snapshot's sums beside it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.plan = Plan()
        self.leases = {w.name: w.leases for w in view.workers}
        self.total = sum(self.leases.values())
        self.wanted = {w.model for w in view.waiters}
        self.gone: set[str] = set()
        self.free = dict(view.budget)
        self.coming = dict.fromkeys(view.budget, 0)
        self.reserved = dict.fromkeys(view.budget, 0)
        self.own: dict[str, list[WorkerView]] = {}
        for worker in view.workers:
            self.own.setdefault(worker.model, []).append(worker)
            for device in worker.devices:
                self.free[device] = self.free.get(device, 0) - worker.held
            if worker.state in LEAVING:
                self._count_as_coming(worker)

    def run(self) -> Plan:
        oldest: dict[str, WaiterView] = {}
        for waiter in self._grant():
            oldest.setdefault(waiter.model, waiter)
        for waiter in oldest.values():
            self._make_place(waiter)
        for model in sorted(self.wanted - set(oldest)):
            self._replicate(self.view.models[model])
        for worker in self.view.workers:
            self._resume(worker)
        return self.plan

    def _grant(self) -> list[WaiterView]:
        """Rule 1. Returns those whose model has no open worker; who only waits for a free lease is not among them."""
        left = []
        for waiter in sorted(self.view.waiters, key=lambda w: w.ticket):
            open_workers = [w for w in self.own.get(waiter.model, []) if w.state is State.READY]
            if not open_workers:
                left.append(waiter)
            elif self.total < self.view.max_leases:
                best = min(open_workers, key=lambda w: preference(w, self.leases[w.name]))
                self.plan.grants.append((waiter.ticket, best.name))
                self.leases[best.name] += 1
                self.total += 1
        return left

    def _make_place(self, waiter: WaiterView) -> None:
        """Rules 2 to 4 for the oldest waiter of a model that has no open worker."""
        model = self.view.models[waiter.model]
        own = self.own.get(model.id, [])
        if any(w.state is State.STARTING for w in own) or any(self._resume(w) for w in own):
            return
        if model.retry_at is not None and self.view.now < model.retry_at:
            self.plan.backing_off.append(model.id)
            return
        places = [Candidate(c.devices, self._need(c), c.certain) for c in model.candidates if self._can_ever_fit(c)]
        if not places:
            self.plan.never_fits.append(model.id)
        elif fitting := [place for place in places if self._fits(place)]:
            self._start(model, max(fitting, key=self._room))
        else:
            self._make_room(waiter, places)

    def _can_ever_fit(self, candidate: Candidate) -> bool:
        """A guess alone never means that a model cannot fit."""
        most = min(self._attainable(device, self.view.ceiling) for device in candidate.devices)
        return not candidate.certain or candidate.need <= most

    def _need(self, candidate: Candidate) -> int:
        """What must be free: a guess larger than the device means as much of it as can be had."""
        if candidate.certain:
            return candidate.need
        return max(1, min(candidate.need, *(self._attainable(d, self.view.budget) for d in candidate.devices)))

    def _attainable(self, device: str, most: Mapping[str, int]) -> int:
        """Bytes that would be free if every worker went that may be made to go."""
        return most.get(device, 0) - sum(w.held for w in self.view.workers if device in w.devices and not w.evictable)

    def _fits(self, place: Candidate) -> bool:
        return all(self.free[d] - self.reserved[d] >= place.need for d in place.devices)

    def _room(self, place: Candidate) -> int:
        return min(self.free[d] for d in place.devices)

    def _start(self, model: ModelView, place: Candidate) -> None:
        self.plan.starts.append((model.id, place))
        for device in place.devices:
            self.free[device] -= place.need

    def _make_room(self, waiter: WaiterView, places: Iterable[Candidate]) -> None:
        """Rules 3 and 4: clear the place that costs the fewest busy workers, if one can be cleared at all."""
        urgent_at = waiter.since + self.view.swap_after
        urgent = self.view.now >= urgent_at
        if not urgent:
            self.plan.wake_at = min(self.plan.wake_at or urgent_at, urgent_at)
        options = [(place, v) for place in places if (v := self._victims(place, urgent=urgent)) is not None]
        if not options:
            return
        place, victims = min(options, key=lambda option: self._cost(option[1]))
        if not any(map(self._awaited, victims)):
            self._evict(victims, f"evicted for {waiter.model}")
        for device in place.devices:
            self.reserved[device] += place.need

    def _cost(self, victims: Sequence[WorkerView]) -> tuple[int, int, int]:
        return sum(map(self._awaited, victims)), sum(map(self._in_use, victims)), len(victims)

    def _evict(self, victims: Iterable[WorkerView], reason: str) -> None:
        for victim in victims:
            self.gone.add(victim.name)
            self._count_as_coming(victim)
            leaving = self.plan.drains if self.leases[victim.name] else self.plan.stops
            leaving.append((victim.name, reason))

    def _victims(self, place: Candidate, *, urgent: bool) -> list[WorkerView] | None:
        """The workers that must go so that the place comes free; None if it cannot."""
        missing = {d: place.need - (self.free[d] + self.coming[d] - self.reserved[d]) for d in place.devices}
        chosen: list[WorkerView] = []
        for worker in self._in_order_of_leaving(urgent=urgent):
            if any(missing.get(device, 0) > 0 for device in worker.devices):
                chosen.append(worker)
                for device in missing.keys() & set(worker.devices):
                    missing[device] -= worker.held
        return chosen if all(rest <= 0 for rest in missing.values()) else None

    def _in_order_of_leaving(self, *, urgent: bool) -> list[WorkerView]:
        """Idle ones by last use, and then, if it is urgent, busy ones by their start, and awaited starts at last."""
        states = {State.READY, State.STARTING}
        movable = [w for w in self.view.workers if w.evictable and w.name not in self.gone and w.state in states]
        # A start that nobody waits for any more is as good as idle.
        idle = [w for w in movable if not self._in_use(w)]
        busy = [w for w in movable if self._in_use(w)] if urgent else []
        busy.sort(key=lambda w: (self._awaited(w), w.started, w.name))
        return sorted(idle, key=lambda w: (w.last_used, w.name)) + busy

    def _in_use(self, worker: WorkerView) -> bool:
        """Busy, or about to be: somebody waits for its model."""
        return self.leases[worker.name] > 0 or worker.model in self.wanted

    def _awaited(self, worker: WorkerView) -> bool:
        return worker.state is State.STARTING and self._in_use(worker)

    def _count_as_coming(self, worker: WorkerView) -> None:
        for device in worker.devices:
            self.coming[device] = self.coming.get(device, 0) + worker.held

    def _resume(self, worker: WorkerView) -> bool:
        """Open again what was drained for somebody who has left since."""
        if worker.state is not State.DRAINING or not worker.resumable or not worker.leases or worker.name in self.gone:
            return False
        if any(self.free[d] + self.coming[d] - worker.held < self.reserved[d] for d in worker.devices):
            return False
        self.gone.add(worker.name)  # decided: it is looked at once
        self.plan.resumes.append(worker.name)
        for device in worker.devices:
            self.coming[device] -= worker.held
        return True

    def _replicate(self, model: ModelView) -> None:
        """Rule 5: only into memory that nobody else wants."""
        up = [w for w in self.own.get(model.id, []) if w.state in {State.STARTING, State.READY}]
        busy = all(w.state is State.READY and self.leases[w.name] > 0 for w in up)
        if not busy or len(up) >= model.replicas or (model.retry_at or self.view.now) > self.view.now:
            return
        taken = {device for w in up for device in w.devices}
        if fitting := [c for c in model.candidates if self._can_ever_fit(c) and self._fits(c)]:
            self._start(model, max(fitting, key=lambda c: (not taken & set(c.devices), self._room(c))))
