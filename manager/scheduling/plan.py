"""Which requests are served and which workers start, drain and stop: pure decisions over a snapshot.

There is no clock, no I/O and no logging here. The rules, in the order in which they apply:

1. A request whose model has a ready worker gets the least-loaded one, in order of arrival.
2. A request whose model has none gets a start, if the model's footprint fits into free memory.
3. If it does not fit, idle workers are stopped, least recently used first, but only if that frees enough.
4. After `swap_after` seconds of waiting, busy workers are drained too, longest-running first. Their memory is reserved,
   so that no later request can take it: no request starves. A start that other requests wait for is not interrupted;
   its memory is reserved, and once the worker is ready it counts as busy. A worker stays for older requests that only
   wait until fewer requests are at work.
5. A model whose workers are all busy gets another replica, if no other request has to wait or yield for it.
6. Jobs yield: they come after all other requests, by priority, and what only they use is drained for others at once.
   They evict no worker that is busy, waited for, or within its idle timeout since a request that was no job's. The jobs
   of one model so run together. A job that has waited for `job_max_wait` seconds counts as any other request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from contract.status import LEAVING, UP, State
from manager.scheduling.views import Candidate, Leasable, ModelView, Snapshot, WaiterView, WorkerView


@dataclass(slots=True)
class Plan:
    """What to do, in terms of tickets, worker names and model ids."""

    grants: list[tuple[int, str]] = field(default_factory=list)  # ticket, worker
    starts: list[tuple[str, Candidate]] = field(default_factory=list)  # model, place
    stops: list[tuple[str, str]] = field(default_factory=list)  # worker, reason
    drains: list[tuple[str, str]] = field(default_factory=list)  # worker, reason
    resumes: list[str] = field(default_factory=list)  # workers
    never_fits: list[str] = field(default_factory=list)  # models
    backing_off: list[str] = field(default_factory=list)  # models
    wake_at: float | None = None  # decide again then, even if nothing happens

    @property
    def needs_fresh_memory(self) -> bool:
        """Whether it does more than hand out ready workers, and so must rest on a recent measurement of memory."""
        return bool(self.starts or self.stops or self.drains or self.resumes or self.never_fits)


def admit(snapshot: Snapshot) -> Plan:
    """Decide what to do now. Equal snapshots give equal plans."""
    return _Planner(snapshot).run()


def expired(workers: Iterable[WorkerView], wanted: set[str], now: float) -> tuple[list[str], float | None]:
    """The workers whose idle timeout has passed, and when the next one's will; `wanted` models are kept."""
    idle = {w.name: w.expires for w in workers if w.state is State.READY and w.leases == 0 and w.model not in wanted}
    over = [name for name, expires in idle.items() if expires is not None and expires <= now]
    return over, min((e for name, e in idle.items() if e is not None and name not in over), default=None)


def preference(worker: Leasable, leases: int) -> tuple[int, float, str]:
    """Sort key for choosing between a model's ready workers; the smallest is chosen.

    Among equally loaded workers the least recently used comes first, so that idle replicas share the work.
    """
    return leases, worker.last_used, worker.name


class _Planner:
    """A plan in the making, with the sums over the snapshot that it depends on. Memory is in bytes by device."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.plan = Plan()
        self.leases = {w.name: w.leases for w in snapshot.workers}
        self.total_leases = sum(self.leases.values())
        self.job_leases = {w.name: w.job_leases for w in snapshot.workers}
        self.wanted = {w.model for w in snapshot.waiters}
        self.wanted_firmly = {w.model for w in snapshot.waiters if not self._yields(w)}
        self.at_limit: dict[str, tuple[bool, int, int]] = {}  # each model's first request that lacks only a lease
        self.decided: set[str] = set()  # workers that this plan already evicts or resumes
        self.free = dict(snapshot.budget)  # not set aside for any worker
        self.freeing = dict.fromkeys(snapshot.budget, 0)  # set aside for workers that are leaving
        self.reserved = dict.fromkeys(snapshot.budget, 0)  # promised to older requests than the one looked at
        self.workers_of: dict[str, list[WorkerView]] = {}
        for worker in snapshot.workers:
            self.workers_of.setdefault(worker.model, []).append(worker)
            for device in worker.devices:
                self.free[device] = self.free.get(device, 0) - worker.committed
            if worker.state in LEAVING:
                self._count_as_freeing(worker)

    def run(self) -> Plan:
        oldest: dict[str, WaiterView] = {}
        for waiter in self._grant():
            oldest.setdefault(waiter.model, waiter)
        # One start serves all requests for a model, so only its oldest request asks for memory. In order of arrival:
        # an older request's reservation must be in place before a younger one looks for free memory.
        for waiter in oldest.values():
            self._serve(waiter)
        # Replicas and resumes come last, since they may only use what no request without a worker needs.
        for model in sorted(self.wanted - set(oldest)):
            self._replicate(self.snapshot.models[model])
        for worker in self.snapshot.workers:
            self._resume(worker)
        return self.plan

    def _yields(self, waiter: WaiterView) -> bool:
        """Whether it is a job's request that does not count as any other yet."""
        return waiter.job is not None and self.snapshot.now < waiter.since + self.snapshot.job_max_wait

    def _place_in_line(self, waiter: WaiterView) -> tuple[bool, int, int]:
        yields = self._yields(waiter)
        return yields, -(waiter.job or 0) if yields else 0, waiter.ticket

    def _grant(self) -> list[WaiterView]:
        """Rule 1. Returns the requests whose model has no ready worker."""
        without_worker = []
        for waiter in sorted(self.snapshot.waiters, key=self._place_in_line):
            ready = [w for w in self.workers_of.get(waiter.model, []) if w.state is State.READY]
            if not ready:
                without_worker.append(waiter)
            elif self.total_leases < self.snapshot.max_leases:
                best = min(ready, key=lambda w: preference(w, self.leases[w.name]))
                self.plan.grants.append((waiter.ticket, best.name))
                self.leases[best.name] += 1
                self.job_leases[best.name] += waiter.job is not None
                self.total_leases += 1
            else:  # it only waits for another one to end, and no worker has to start for it
                self.at_limit.setdefault(waiter.model, self._place_in_line(waiter))
        return without_worker

    def _serve(self, waiter: WaiterView) -> None:
        """Rules 2 to 4, for the oldest request of a model that has no ready worker."""
        model = self.snapshot.models[waiter.model]
        own = self.workers_of.get(model.id, [])
        # Resuming costs nothing: the model is loaded already.
        if any(w.state is State.STARTING for w in own) or any(self._resume(w) for w in own):
            return
        if model.retry_at is not None and self.snapshot.now < model.retry_at:
            self.plan.backing_off.append(model.id)
            return
        places = [replace(c, need=self._need(c)) for c in model.candidates if self._can_ever_fit(c)]
        if not places:
            self.plan.never_fits.append(model.id)
        elif fitting := [place for place in places if self._fits(place)]:
            # The device with the most free memory leaves the most room for growth.
            self._start(model, max(fitting, key=self._free_on))
        else:
            self._make_room(waiter, places)

    def _can_ever_fit(self, candidate: Candidate) -> bool:
        """Only what loading was measured to take can be too large for good: a guess or a peak may be far too high.

        Where the settings leave no memory at all, such as a margin above what the device has, nothing fits.
        """
        if any(self.snapshot.largest_budget.get(device, 0) <= 0 for device in candidate.devices):
            return False
        most = min(self._attainable(device, self.snapshot.largest_budget) for device in candidate.devices)
        return candidate.least <= most or not candidate.certain

    def _need(self, candidate: Candidate) -> int:
        """Bytes that must be free for a start. What is not known to be required is reduced to what can be freed."""
        attainable = (self._attainable(device, self.snapshot.budget) for device in candidate.devices)
        return max(1, candidate.least, min(candidate.need, *attainable))

    def _attainable(self, device: str, budget: Mapping[str, int]) -> int:
        """Bytes that would be free if every worker were gone that is leaving or can be evicted."""
        staying = (w for w in self.snapshot.workers if not w.evictable and w.state in UP)
        return budget.get(device, 0) - sum(w.committed for w in staying if device in w.devices)

    def _fits(self, place: Candidate) -> bool:
        return all(self.free[d] - self.reserved[d] >= place.need for d in place.devices)

    def _free_on(self, place: Candidate) -> int:
        return min(self.free[d] for d in place.devices)

    def _start(self, model: ModelView, place: Candidate) -> None:
        self.plan.starts.append((model.id, place))
        for device in place.devices:
            self.free[device] -= place.need

    def _make_room(self, waiter: WaiterView, places: Iterable[Candidate]) -> None:
        """Rules 3, 4 and 6: clear the place that costs the fewest busy workers, if any place can be cleared."""
        candidates = self._unguarded(waiter) if self._yields(waiter) else self._eviction_order(waiter)
        options = [(place, v) for place in places if (v := self._victims(place, candidates)) is not None]
        if not options:
            return
        place, victims = min(options, key=lambda option: self._cost(option[1]))
        # An awaited start is let finish, and then drained as a busy worker. Until then nothing else needs to go either:
        # without that worker's memory the place would not come free.
        if not any(map(self._awaited, victims)):
            self._evict(victims, f"evicted for {waiter.model}")
        for device in place.devices:  # or younger requests with smaller models could take the memory again and again
            self.reserved[device] += place.need

    def _cost(self, victims: Sequence[WorkerView]) -> tuple[int, int, int, int]:
        held = sum(map(self._held_by_jobs, victims))
        return sum(map(self._awaited, victims)), sum(map(self._in_use, victims)), held, len(victims)

    def _evict(self, victims: Iterable[WorkerView], reason: str) -> None:
        for victim in victims:
            self.decided.add(victim.name)
            self._count_as_freeing(victim)
            leaving = self.plan.drains if self.leases[victim.name] else self.plan.stops
            leaving.append((victim.name, reason))

    def _victims(self, place: Candidate, candidates: Iterable[WorkerView]) -> list[WorkerView] | None:
        """The candidates that must go so that the place fits, the first ones first; None if that is impossible.

        Nothing is evicted in vain: if all of them together are not enough, none of them goes.
        """
        # Memory that is being freed counts as available, or each decision until it is free would evict more workers.
        missing = {d: place.need - (self.free[d] + self.freeing[d] - self.reserved[d]) for d in place.devices}
        victims: list[WorkerView] = []
        for worker in candidates:
            if any(missing.get(device, 0) > 0 for device in worker.devices):
                victims.append(worker)
                for device in missing.keys() & set(worker.devices):
                    missing[device] -= worker.committed
        return victims if all(rest <= 0 for rest in missing.values()) else None

    def _movable(self) -> list[WorkerView]:
        """The workers that may be evicted at all, least recently used first."""
        undecided = [w for w in self.snapshot.workers if w.evictable and w.name not in self.decided]
        return sorted((w for w in undecided if w.state in UP), key=lambda w: (w.last_used, w.name))

    def _eviction_order(self, waiter: WaiterView) -> list[WorkerView]:
        """Idle workers by last use, then those that only jobs use; if urgent, then busy ones, and awaited starts last.

        Wakes the scheduler when the request becomes urgent.
        """
        place = self._place_in_line(waiter)
        # Older requests that only wait for a lease keep their worker: if it drained for this one, they would resume it.
        movable = [w for w in self._movable() if place <= self.at_limit.get(w.model, place)]
        # A start that no request waits for any more counts as idle.
        unused = sorted((w for w in movable if not self._in_use(w)), key=self._held_by_jobs)
        if self.snapshot.now < (urgent_at := waiter.since + self.snapshot.swap_after):
            self._wake_at(urgent_at)
            return unused
        busy = [w for w in movable if self._in_use(w)]
        # The worker that has run the longest has served its model the longest: it is its turn to yield.
        return unused + sorted(busy, key=lambda w: (self._awaited(w), w.started, w.name))

    def _unguarded(self, waiter: WaiterView) -> list[WorkerView]:
        """The workers that a job may evict while it yields. Wakes the scheduler when there may be more."""
        self._wake_at(waiter.since + self.snapshot.job_max_wait)
        idle = [w for w in self._movable() if not (self._in_use(w) or self._held_by_jobs(w))]
        self._wake_at(min((w.guarded_until for w in idle if w.guarded_until > self.snapshot.now), default=math.inf))
        return [worker for worker in idle if worker.guarded_until <= self.snapshot.now]

    def _wake_at(self, time: float) -> None:
        self.plan.wake_at = min(time, math.inf if self.plan.wake_at is None else self.plan.wake_at)

    def _in_use(self, worker: WorkerView) -> bool:
        """Whether requests that do not yield use it, or wait for its model and will be granted to it."""
        return self.leases[worker.name] > self.job_leases[worker.name] or worker.model in self.wanted_firmly

    def _held_by_jobs(self, worker: WorkerView) -> bool:
        """Whether jobs alone use it, or wait for its model."""
        return (self.leases[worker.name] > 0 or worker.model in self.wanted) and not self._in_use(worker)

    def _awaited(self, worker: WorkerView) -> bool:
        """Whether it is a start that requests wait for."""
        return worker.state is State.STARTING and self._in_use(worker)

    def _count_as_freeing(self, worker: WorkerView) -> None:
        for device in worker.devices:
            self.freeing[device] = self.freeing.get(device, 0) + worker.committed

    def _resume(self, worker: WorkerView) -> bool:
        """Resume a worker that drains for a request which no longer waits. Returns whether it is resumed."""
        resumable = worker.state is State.DRAINING and worker.resumable and worker.leases > 0
        if not resumable or worker.name in self.decided:
            return False
        # A reservation may still need its memory.
        if any(self.free[d] + self.freeing[d] - worker.committed < self.reserved[d] for d in worker.devices):
            return False
        self.decided.add(worker.name)
        self.plan.resumes.append(worker.name)
        for device in worker.devices:
            self.freeing[device] -= worker.committed
        return True

    def _replicate(self, model: ModelView) -> None:
        """Rule 5, for a model with requests that all have, or will get, one of its ready workers."""
        up = [w for w in self.workers_of.get(model.id, []) if w.state in UP]
        all_busy = all(w.state is State.READY and self.leases[w.name] > 0 for w in up)
        if not all_busy or len(up) >= model.replicas or (model.retry_at or self.snapshot.now) > self.snapshot.now:
            return
        occupied = {device for w in up for device in w.devices}
        if fitting := [c for c in model.candidates if self._can_ever_fit(c) and self._fits(c)]:
            # A device that the other replicas do not use comes before one with more free memory: it adds compute.
            self._start(model, max(fitting, key=lambda c: (not occupied & set(c.devices), self._free_on(c))))
