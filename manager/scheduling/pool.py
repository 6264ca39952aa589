"""The scheduler: the one owner of all state, and the one place where decisions are made.

Every event (a request arrives or goes away, a worker is ready or has exited, memory is back, a timer fires) ends in
`_schedule`, which never awaits. It asks `plan.py` what to do, has the supervisor do it at once, and leaves what takes
time to background tasks.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress

from contract.asgi.draining import shutting_down
from contract.errors import ModelNotFound, ServeError
from contract.status import State
from manager.background import BackgroundTasks
from manager.events import EventLog
from manager.memory.monitor import MemoryMonitor
from manager.models.configured import ConfiguredModels
from manager.processes.lifecycle import Lifecycle
from manager.processes.supervisor import Supervisor
from manager.scheduling import plan, snapshot, wait_report
from manager.scheduling.memory_sampler import MemorySampler
from manager.scheduling.missing_files import WhileWaiting, no_files
from manager.scheduling.quiet import QuietMoments
from manager.scheduling.views import Snapshot
from manager.scheduling.wait_queue import INTERACTIVE, Claim, Lease, Waiter, WaitQueue, never_fits
from manager.scheduling.wait_queue import loop_time as _now
from manager.state import pins
from manager.state.model import Model, merge_models
from manager.state.worker import Worker

log = logging.getLogger(__name__)
MAX_INTERVAL = 1.0  # seconds between two decisions, so that a scheduler that has stopped responding is noticed
MAX_DECISIONS = 100  # after one event


class Pool:
    """Models, waiting requests and leases. Call its public methods from the event loop only.

    `on_quiet` is called after workers have changed, at a moment when starting standbys slows down no request.
    """

    def __init__(
        self,
        configured: ConfiguredModels,
        monitor: MemoryMonitor,
        lifecycle: Lifecycle,
        event_log: EventLog,
        on_quiet: Callable[[], None],
    ) -> None:
        self.settings, self.models = configured.settings, configured.models
        self.queue, self.obtain_files = WaitQueue(), no_files
        self._tasks = BackgroundTasks("scheduler", on_done=self.on_workers_changed)
        self.supervisor = Supervisor(lifecycle, monitor, event_log, self, self._tasks)
        self._sampler = MemorySampler(monitor, self.supervisor, self._tasks)
        self._monitor, self._event_log, self._quiet = monitor, event_log, QuietMoments(on_quiet)
        self._timer: asyncio.TimerHandle | None = None
        self._scheduling = self._schedule_again = self._closing = False
        self._last_decision = float("-inf")

    def start(self) -> None:
        """Begin to decide, and start the models that are to be preloaded."""
        self._schedule()
        self._preload()

    @asynccontextmanager
    async def lease(
        self, model_id: str, keep_alive: float | None = None, max_wait: float | None = None, *,
        while_waiting: WhileWaiting = nullcontext, claim: Claim = INTERACTIVE,
    ) -> AsyncIterator[Lease]:  # fmt: skip
        """Hold a lease on a worker of the model. `while_waiting` encloses the wait for it, if there is one.

        Raises a ServeError if there is no worker in time.
        """
        since = _now()
        worker = self._lease_now(model_id, claim) or await self._wait(model_id, max_wait, while_waiting, claim)
        waited = _now() - since
        loading = min(waited, max(0.0, (worker.ready_at or 0.0) - max(worker.started, since)))
        lease = Lease(worker, waited - loading, loading, claim)
        try:
            yield lease
            lease.succeeded = lease.status < 400
        finally:
            self._monitor.end_request(worker, succeeded=lease.succeeded)
            self._release(worker, keep_alive, claim)

    def load_soon(self, model_id: str, keep_alive: float | None = None) -> None:
        """Start a worker of the model if none is ready, as a request would. The status shows how that goes."""
        self._tasks.spawn(self._lease_once(model_id, keep_alive))

    def evict(self, model_id: str, *, force: bool = False) -> list[Worker]:
        """Stop the model's workers, and its early starts; busy ones finish first, unless `force`. Returns those."""
        self.queue.refuse_early(model_id)
        stopping = [worker for worker in self.supervisor.workers_of(model_id) if worker.stoppable]
        for worker in stopping:
            (self.supervisor.cut_short if force else self.supervisor.drain)(worker, "evicted by request")
        self._schedule()
        return stopping

    def pin(self, model: Model, pinned: bool) -> None:
        """Keep the model's workers, whatever its entry says, or no longer."""
        pins.pin(model, self.supervisor.workers_of(model.id), pinned)
        self._schedule()

    def reload(self, configured: ConfiguredModels) -> list[str]:
        """Apply a new configuration. Only workers whose own entry changed stop. Returns the ids that changed."""
        old, new = self.models, configured.models
        self.models = merge_models(old, new)
        changed = {id_ for id_ in old.keys() | new.keys() if self.models.get(id_) is not old.get(id_)}
        self.settings = configured.settings
        self._monitor.reconfigure(self.settings.memory)
        for worker in list(self.supervisor.workers):
            worker.default_idle_timeout = self.settings.manager.idle_timeout
            if worker.model in changed and worker.stoppable:
                self.supervisor.drain(worker, "configuration changed")
        for id_ in changed - new.keys():
            self.queue.refuse_all(id_, ModelNotFound(f"The model {id_!r} is no longer in the configuration."))
        self._event_log.add("models", reason=f"changed: {', '.join(sorted(changed)) or 'settings'}")
        self.start()
        return sorted(changed)

    def stop_admitting(self) -> None:
        """Refuse the waiting requests and all later ones. Requests in progress go on."""
        self._closing = True
        for waiter in self.queue:
            self.queue.refuse(waiter, shutting_down())

    async def close(self) -> None:
        """Refuse the waiting requests, stop every worker, and return when all have ended."""
        self.stop_admitting()
        for worker in list(self.supervisor.workers):
            self.supervisor.stop(worker, "shutting down")
        await self._tasks.wait()
        if self._timer:
            self._timer.cancel()

    def scheduler_alive(self, within: float = 5.0) -> bool:
        """Whether a decision has succeeded within the last seconds."""
        return _now() - self._last_decision < within

    def on_workers_changed(self) -> None:
        """Decide again. For the supervisor and the background tasks."""
        self._quiet.note_change(_now())
        self._schedule()

    def on_start_failed(self, model: Model) -> None:
        """Refuse the requests that wait for a model which could not be loaded. For the supervisor."""
        self.queue.refuse_all(model.id, model.load_error(_now(), debug=self.settings.logs.debug))

    def _schedule(self) -> None:
        """Decide. An event that occurs meanwhile makes it decide once more."""
        self._schedule_again = True
        if self._scheduling:
            return
        self._scheduling = True
        try:
            decisions = 0
            while self._schedule_again and (decisions := decisions + 1) <= MAX_DECISIONS:
                self._schedule_again = False
                self._decide(_now())
            if self._schedule_again:
                raise RuntimeError("decisions undo each other")  # which must not hold up all other work
            self._last_decision = _now()
        except Exception:
            # The next event tries again. If no decision succeeds any more, /ready reports it.
            log.exception("a decision of the scheduler failed")
            self._wake_at(_now())
        finally:
            self._scheduling = False

    def _decide(self, now: float) -> None:
        wake_at = self._admit(now) if self.queue else None
        for waiter in self.queue.overdue(now):
            model = self.models[waiter.model]
            error = wait_report.deadline_passed(waiter, model, self._monitor, self.supervisor, now)
            self.queue.refuse(waiter, error)
        next_end = self.supervisor.end_drained(now, self.settings.resources.drain_timeout)
        views = [snapshot.worker_view(worker) for worker in self.supervisor.workers]
        idle, next_expiry = plan.expired(views, self.queue.models, now)
        for name in idle:
            self.supervisor.stop(self.supervisor.worker(name), "idle")
        self._sampler.keep_current()
        if not self._closing:
            self._quiet.check(now, starting=self.supervisor.starting, leases=self.supervisor.leases)
        self._wake_at(now, wake_at, next_end, next_expiry, self.queue.next_deadline)

    def _admit(self, now: float) -> float | None:
        decision = plan.admit(self._snapshot(now))
        for ticket, name in decision.grants:
            self._grant(ticket, self.supervisor.worker(name))
        for id_ in decision.backing_off:
            self.queue.refuse_all(id_, self.models[id_].load_error(now, debug=self.settings.logs.debug))
        if decision.needs_fresh_memory and self._sampler.fresh:
            self._carry_out(decision)
        elif decision.needs_fresh_memory:
            self._sampler.refresh()  # its end triggers the next decision
        return decision.wake_at

    def _carry_out(self, decision: plan.Plan) -> None:
        for id_ in decision.never_fits:
            requirements = snapshot.load_requirements(self.models[id_], self._monitor, self.supervisor.workers)
            self.queue.refuse_all(id_, never_fits(self.models[id_], requirements))
        for name in decision.resumes:
            self.supervisor.resume(self.supervisor.worker(name))
            self._schedule_again = True  # requests may wait for the resumed worker
        for name, reason in decision.drains:
            self.supervisor.drain(self.supervisor.worker(name), reason, resumable=True)
        for name, reason in decision.stops:
            self.supervisor.stop(self.supervisor.worker(name), reason)
        for id_, candidate in decision.starts:
            model = self.models[id_]
            placed = snapshot.assigned_placement(model, self._monitor, candidate.devices[0])
            self.supervisor.start(model, placed, candidate.need, self.settings.manager.idle_timeout)

    def _snapshot(self, now: float) -> Snapshot:
        return Snapshot(
            now=now,
            waiters=[snapshot.waiter_view(waiter) for waiter in self.queue],
            workers=[snapshot.worker_view(worker) for worker in self.supervisor.workers],
            models={id_: snapshot.model_view(self.models[id_], self._monitor) for id_ in self.queue.models},
            budget=self._monitor.budgets(self.supervisor.workers),
            largest_budget=self._monitor.largest_budgets(),
            max_leases=self.settings.resources.max_concurrent_requests,
            swap_after=self.settings.resources.swap_after,
            job_max_wait=self.settings.resources.job_max_wait,
        )

    def _wake_at(self, now: float, *times: float | None) -> None:
        if self._timer:
            self._timer.cancel()
        at = min([now + MAX_INTERVAL, *(time for time in times if time is not None)])
        self._timer = asyncio.get_running_loop().call_at(at, self._schedule)

    def _lease_now(self, model_id: str, claim: Claim) -> Worker | None:
        """Grant a ready worker without a snapshot if the plan could only grant one as well, as for most requests."""
        model = self.models.get(model_id)
        if self.queue or self._closing or model is None or model.spec.replicas != 1:
            return None  # with several replicas, the plan may start another one
        ready = [worker for worker in self.supervisor.workers_of(model_id) if worker.state is State.READY]
        if not ready or self.supervisor.leases >= self.settings.resources.max_concurrent_requests:
            return None
        worker = min(ready, key=lambda w: plan.preference(w, w.leases))
        worker.begin_lease(_now(), job=claim.job is not None)
        return worker

    async def _wait(self, model_id: str, max_wait: float | None, while_waiting: WhileWaiting, claim: Claim) -> Worker:
        await self.obtain_files(model_id, while_waiting, claim.request_id)
        waiter = self._enqueue(model_id, max_wait, claim)
        self._schedule()
        try:
            if not waiter.future.done():
                async with while_waiting():
                    await asyncio.wait({waiter.future})
            return waiter.future.result()
        except BaseException:
            self._abandon(waiter)
            raise

    def _enqueue(self, model_id: str, max_wait: float | None, claim: Claim) -> Waiter:
        if self._closing:
            raise shutting_down()
        if not (model := self.models.get(model_id)):
            raise ModelNotFound(f"There is no model {model_id!r}; GET /v1/models lists the available ones.")
        longest = self.settings.resources.max_wait if claim.job is None else math.inf
        return self.queue.append(model, longest if max_wait is None else min(max_wait, longest), claim)

    def _grant(self, ticket: int, worker: Worker) -> None:
        waiter = self.queue.remove(ticket)
        if waiter and not waiter.future.done():
            worker.begin_lease(_now(), job=waiter.claim.job is not None)
            waiter.future.set_result(worker)

    def _abandon(self, waiter: Waiter) -> None:
        """Remove a request whose client went away, or release the lease that it was granted at the same moment."""
        self.queue.remove(waiter.ticket)
        future = waiter.future
        if future.done() and not future.cancelled() and not future.exception():
            self._release(worker := future.result(), worker.keep_alive, waiter.claim)
        else:
            self._schedule()

    def _release(self, worker: Worker, keep_alive: float | None, claim: Claim) -> None:
        worker.end_lease(now := _now(), keep_alive, job=claim.job is not None)
        expires_soon = worker.expires is not None and worker.expires < now + MAX_INTERVAL
        if self.queue or expires_soon or worker.state is not State.READY:  # otherwise the next timer is early enough
            self._schedule()

    def _preload(self) -> None:
        for model in self.models.values():
            if model.spec.preload and not self.supervisor.is_serving(model.id) and not self._closing:
                self._tasks.spawn(self._lease_once(model.id))

    async def _lease_once(self, model_id: str, keep_alive: float | None = None) -> None:
        with suppress(ServeError):  # the model's status shows it
            async with self.lease(model_id, keep_alive):
                pass
