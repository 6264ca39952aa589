"""Who runs, who waits, who goes: the one owner of all state, and the one decider.

Every event (a request comes or leaves, a worker is ready or dead, memory is back, a timer fires) ends in `_schedule`,
which never awaits. It asks `plan.py` what to do, has the roster do it at once, and leaves what takes time to tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any

from contract.config import Settings
from contract.errors import ModelNotFound, ServeError
from contract.status import State
from manager.events import EventLog
from manager.memory.monitor import MemoryMonitor
from manager.processes.supervisor import UP, Supervisor
from manager.scheduling import plan, sizing
from manager.scheduling.memory_sampler import MemorySampler
from manager.scheduling.placement import settle
from manager.scheduling.wait_queue import Lease, Waiter, WaitQueue, closing, never_fits, too_late
from manager.state.model import Model, merged
from manager.state.worker import Worker

log = logging.getLogger(__name__)

HEARTBEAT = 1.0
"""The scheduler turns at least this often, so that its turning shows that it lives."""
RESTLESS = 10.0
"""Seconds after which standbys are made although answers are under way."""


class Pool:
    """Models, waiters and leases. Its public methods are called from the event loop only."""

    def __init__(
        self, settings: Settings, models: dict[str, Model], gauge: MemoryMonitor, roster: Supervisor, events: EventLog
    ) -> None:
        self.settings = settings
        self.models = models
        self.roster = roster
        self.calm: Callable[[], None] = lambda: None  # called at a good time to make standbys
        self.waiting = WaitQueue()
        self._gauge = gauge
        self._events = events
        self._readings = MemorySampler(gauge, roster)
        self._timer: asyncio.TimerHandle | None = None
        self._scheduling = self._again = self._closing = False
        self._calm_due: float | None = 0.0
        self._turned = float("-inf")
        roster.changed = self._roster_changed
        roster.gave_up = lambda model: self.waiting.refuse_all(model.id, model.refusal(_now()))

    def start(self) -> None:
        """Begin to turn, and start what is to be preloaded."""
        self._schedule()
        self._preload()

    @asynccontextmanager
    async def lease(
        self,
        model_id: str,
        keep_alive: float | None = None,
        max_wait: float | None = None,
        *,
        meanwhile: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> AsyncIterator[Lease]:
        """Wait for a worker of the model and hold it; `meanwhile` surrounds the waiting, if there is any.

        Raises a ServeError when there will be no worker in time.
        """
        since = _now()
        worker = self._at_once(model_id, keep_alive) or await self._wait(model_id, keep_alive, max_wait, meanwhile)
        waited = _now() - since
        loaded = min(waited, max(0.0, (worker.ready_at or 0.0) - max(worker.born, since)))
        try:
            yield Lease(worker, waited - loaded, loaded)
        finally:
            self._release(worker)

    def evict(self, model_id: str) -> list[Worker]:
        """End the model's workers by hand; busy ones finish what they have. Returns those that go."""
        going = [worker for worker in self.roster.of(model_id) if worker.state in UP]
        for worker in going:
            self.roster.drain(worker, "evicted by hand")
        self._schedule()
        return going

    def reload(self, settings: Settings, models: dict[str, Model]) -> list[str]:
        """Take on a new configuration. Only workers whose own entry changed go. Returns the ids that changed."""
        old, self.models = self.models, merged(self.models, models)
        changed = {id_ for id_ in old.keys() | models.keys() if self.models.get(id_) is not old.get(id_)}
        self.settings, self._gauge.memory = settings, settings.memory
        for worker in list(self.roster.workers):
            worker.default_timeout = settings.manager.idle_timeout
            if worker.model in changed and worker.state in UP:
                self.roster.drain(worker, "configuration changed")
        for id_ in changed - models.keys():
            self.waiting.refuse_all(id_, ModelNotFound(f"The model {id_!r} is no longer in the configuration."))
        self._events.add("models", reason=f"changed: {', '.join(sorted(changed)) or 'settings'}")
        self.start()
        return sorted(changed)

    async def close(self) -> None:
        """Refuse those who wait, end every worker, and return when they are gone."""
        self._closing = True
        for waiter in self.waiting:
            self.waiting.refuse(waiter, closing())
        for worker in list(self.roster.workers):
            self.roster.end(worker, "shutting down")
        await self.roster.finished()
        if self._timer:
            self._timer.cancel()

    def turning(self, deadline: float = 5.0) -> bool:
        """Whether the scheduler has turned within `deadline` seconds."""
        return _now() - self._turned < deadline

    def _roster_changed(self) -> None:
        self._calm_due = self._calm_due or _now()
        self._schedule()

    # The decider --------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Decide, and do the bookkeeping. What comes up meanwhile makes it turn once more."""
        self._again = True
        if self._scheduling:
            return
        self._scheduling = True
        try:
            while self._again:
                self._again = False
                self._turn(_now())
            self._turned = _now()
        except Exception:
            # The next event tries anew; if no turn succeeds any more, /ready says so.
            log.exception("the scheduler stumbled")
            self._wake_at(_now())
        finally:
            self._scheduling = False

    def _turn(self, now: float) -> None:
        wake = self._admit(now) if self.waiting else None
        for waiter in self.waiting.late(now):
            model = self.models[waiter.model]
            self.waiting.refuse(waiter, too_late(waiter, now, self.roster.state_of(model), self._numbers(model)))
        for worker in [w for w in self.roster.workers if w.state is State.DRAINING and not w.leases]:
            self.roster.end(worker, worker.reason)
        over, expiry = plan.expired([w.view() for w in self.roster.workers], self.waiting.models, now)
        for name in over:
            self.roster.end(self.roster.named(name), "idle")
        self._readings.keep_current()
        if self._calm_due is not None and self._is_calm(now - self._calm_due):
            self._calm_due = None
            self.calm()
        self._wake_at(now, wake, expiry, self.waiting.first_deadline)

    def _is_calm(self, due: float) -> bool:
        """Nothing starts, and nobody's answer would be slowed down; in a house that is never at rest, after a while."""
        return not (self._closing or self.roster.starting or (self.roster.leases and due < RESTLESS))

    def _admit(self, now: float) -> float | None:
        decided = plan.admit(self._view(now))
        for ticket, name in decided.grants:
            self._grant(ticket, self.roster.named(name))
        for id_ in decided.backing_off:
            self.waiting.refuse_all(id_, self.models[id_].refusal(now))
        if decided.changes_workers and self._readings.fresh:
            self._carry_out(decided)
        elif decided.changes_workers:
            self._readings.refresh()  # and then decide
        return decided.wake_at

    def _carry_out(self, decided: plan.Plan) -> None:
        for id_ in decided.never_fits:
            self.waiting.refuse_all(id_, never_fits(self.models[id_], self._numbers(self.models[id_])))
        for name in decided.resumes:
            self.roster.resume(self.roster.named(name))
            self._again = True
        for name, reason in decided.drains:
            self.roster.drain(self.roster.named(name), reason, resumable=True)
        for name, reason in decided.stops:
            self.roster.end(self.roster.named(name), reason)
        for id_, place in decided.starts:
            model = self.models[id_]
            placement = settle(model.spec, model.offer.devices, self._gauge.devices[place.devices[0]])
            self.roster.begin(model, placement, place.need, self.settings.manager.idle_timeout)

    def _at_once(self, model_id: str, keep_alive: float | None) -> Worker | None:
        """What a turn would grant where it has only one rule to apply: nobody waits, and the model has an open worker.

        Most requests find it so, and it spares them the snapshot that a plan is made from.
        """
        model = self.models.get(model_id)
        if self.waiting or self._closing or model is None or model.spec.replicas != 1:
            return None  # with more replicas, a busy worker may mean that another one is to start
        open_workers = [worker for worker in self.roster.of(model_id) if worker.state is State.READY]
        if not open_workers or self.roster.leases >= self.settings.resources.max_concurrent_requests:
            return None
        worker = min(open_workers, key=lambda w: plan.preference(w, w.leases))
        self._hold(worker, keep_alive)
        return worker

    def _view(self, now: float) -> plan.View:
        return plan.View(
            now=now,
            waiters=[waiter.view() for waiter in self.waiting],
            workers=[worker.view() for worker in self.roster.workers],
            models={id_: sizing.view(self.models[id_], self._gauge) for id_ in self.waiting.models},
            budget=self._gauge.budgets(self.roster.workers),
            ceiling=self._gauge.ceilings(),
            max_leases=self.settings.resources.max_concurrent_requests,
            swap_after=self.settings.resources.swap_after,
        )

    def _numbers(self, model: Model) -> dict[str, Any]:
        return sizing.numbers(model, self._gauge, self._gauge.budgets(self.roster.workers))

    async def _wait(
        self,
        model_id: str,
        keep_alive: float | None,
        max_wait: float | None,
        meanwhile: Callable[[], AbstractAsyncContextManager[None]],
    ) -> Worker:
        waiter = self._enter(model_id, keep_alive, max_wait)
        self._schedule()
        try:
            if not waiter.future.done():
                async with meanwhile():
                    await asyncio.wait({waiter.future})
            return waiter.future.result()
        except BaseException:
            self._leave(waiter)
            raise

    def _enter(self, model_id: str, keep_alive: float | None, max_wait: float | None) -> Waiter:
        if self._closing:
            raise closing()
        model = self.models.get(model_id)
        if model is None:
            raise ModelNotFound(f"There is no model {model_id!r}; GET /v1/models lists those that there are.")
        longest = self.settings.resources.max_wait
        return self.waiting.enter(model, keep_alive, longest if max_wait is None else min(max_wait, longest))

    def _grant(self, ticket: int, worker: Worker) -> None:
        waiter = self.waiting.take(ticket)
        if waiter is None or waiter.future.done():
            return
        self._hold(worker, waiter.keep_alive)
        waiter.future.set_result(worker)

    def _hold(self, worker: Worker, keep_alive: float | None) -> None:
        worker.leases += 1
        worker.last_used = _now()
        if keep_alive is not None:
            worker.keep_alive = keep_alive

    def _leave(self, waiter: Waiter) -> None:
        """The client is gone: give back its place, or the lease that it got in the same moment."""
        self.waiting.take(waiter.ticket)
        future = waiter.future
        if future.done() and not future.cancelled() and not future.exception():
            self._release(future.result())
        else:
            self._schedule()

    def _release(self, worker: Worker) -> None:
        worker.leases -= 1
        worker.served += 1
        worker.last_used = now = _now()
        soon = worker.expires is not None and worker.expires < now + HEARTBEAT
        if self.waiting or soon or worker.state is not State.READY:
            self._schedule()  # else there is nothing to decide that the next heartbeat would not see in time

    def _preload(self) -> None:
        for model in self.models.values():
            if model.spec.preload and not self.roster.serves(model.id) and not self._closing:
                self.roster.spawn(self._lease_once(model.id))

    async def _lease_once(self, model_id: str) -> None:
        with suppress(ServeError):  # it stands in the model's status
            async with self.lease(model_id):
                pass

    def _wake_at(self, now: float, *times: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        at = min(now + HEARTBEAT, *(time for time in times if time is not None), float("inf"))
        self._timer = asyncio.get_running_loop().call_at(at, self._schedule)


def _now() -> float:
    return asyncio.get_running_loop().time()
