"""The workers that exist, and every change of their state: decided here at once, carried out by background tasks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from contract.status import LOADED, Failure, ModelFacts, State
from manager.background import BackgroundTasks
from manager.events import EventLog
from manager.memory.device import GIB
from manager.memory.monitor import MemoryMonitor
from manager.metrics import LOAD_SECONDS, count_work
from manager.processes.lifecycle import Leak, Lifecycle
from manager.recent_work import RECENT
from manager.state.model import MAX_KILLED_STARTS, Model
from manager.state.process import LoadFailure, Placement
from manager.state.worker import Worker

log = logging.getLogger(__name__)

MEASURE_TIMEOUT = 10.0
"""Seconds that measuring a worker may take before it gets requests without: a driver may hang."""

EXIT_TIMEOUT = 2.0
"""Seconds that a worker may take to exit, and to finish its log, after it has reported its failure."""


class WorkerEvents(Protocol):
    """What the supervisor tells the scheduler."""

    def on_workers_changed(self) -> None:
        """A worker's state changed by itself, or a background task ended: decide again."""

    def on_start_failed(self, model: Model) -> None:
        """The model backs off, and no other worker serves it: its waiting requests cannot be served."""


class Supervisor:
    """Owns the list of workers. Its background tasks are `tasks`, so that their owner can wait for them."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        monitor: MemoryMonitor,
        event_log: EventLog,
        scheduler: WorkerEvents,
        tasks: BackgroundTasks,
    ) -> None:
        self.workers: list[Worker] = []
        self.leaks: list[dict[str, Any]] = []
        self._lifecycle = lifecycle
        self._monitor = monitor
        self._event_log = event_log
        self._scheduler = scheduler
        self._tasks = tasks
        self._last_numbers: Counter[str] = Counter()  # kept for removed models too: worker names are never reused

    def workers_of(self, model_id: str) -> list[Worker]:
        return [worker for worker in self.workers if worker.model == model_id]

    def worker(self, name: str) -> Worker:
        return next(worker for worker in self.workers if worker.name == name)

    def is_serving(self, model_id: str) -> bool:
        """Whether the model has a worker that takes requests, or is starting."""
        return any(worker.state in {State.STARTING, State.READY} for worker in self.workers_of(model_id))

    @property
    def starting(self) -> bool:
        """Whether any worker is starting."""
        return any(worker.state is State.STARTING for worker in self.workers)

    @property
    def leases(self) -> int:
        """Requests in progress, over all workers."""
        return sum(worker.leases for worker in self.workers)

    def state_of(self, model: Model) -> State:
        """The state of the model's most advanced worker; without workers, stopped or backing off."""
        states = {worker.state for worker in self.workers_of(model.id)}
        without_workers = State.BACKOFF if (model.retry_at or 0) > _now() else State.STOPPED
        order = (State.READY, State.STARTING, State.DRAINING, State.STOPPING)
        return next((state for state in order if state in states), without_workers)

    def start(self, model: Model, placement: Placement, need: int, default_idle_timeout: float) -> Worker:
        """Start a new worker, which is expected to need `need` bytes."""
        now = _now()
        self._last_numbers[model.id] += 1
        number = self._last_numbers[model.id]
        worker = Worker(model.id, number, model.spec, placement, need, default_idle_timeout, started=now, last_used=now)
        worker.pinned = model.pinned
        self.workers.append(worker)
        self._move(worker, State.STARTING, f"needs {max(need / GIB, 0.01):.2f} GiB on {', '.join(placement.devices)}")
        self._tasks.spawn(self._run(worker, model))
        return worker

    def drain(self, worker: Worker, reason: str, *, resumable: bool = False) -> None:
        """Give a worker no new leases and stop it after its last one; at once if it has none or is not ready.

        A draining worker can be resumed only if every drain was `resumable`.
        """
        worker.reason = reason
        if worker.state is State.DRAINING:
            worker.resumable = worker.resumable and resumable
        elif worker.state is State.READY and worker.leases:
            worker.resumable, worker.draining_since = resumable, _now()
            self._move(worker, State.DRAINING, reason)
        else:
            self.stop(worker, reason)

    def resume(self, worker: Worker) -> None:
        """Let a draining worker take leases again: its memory is no longer needed elsewhere."""
        self._move(worker, State.READY, "no longer needed elsewhere")

    def end_drained(self, now: float, timeout: float) -> float | None:
        """Stop the draining workers that have no leases left, or have drained for `timeout` seconds.

        Returns when the next one will have.
        """
        for worker in [worker for worker in self.workers if worker.state is State.DRAINING]:
            if not worker.leases:
                self.stop(worker, worker.reason)
            elif now >= worker.draining_since + timeout:
                self.cut_short(worker, f"{worker.reason}; it was still busy after {timeout:g} s")
        draining = (worker.draining_since for worker in self.workers if worker.state is State.DRAINING)
        return min((since + timeout for since in draining), default=None)

    def cut_short(self, worker: Worker, reason: str) -> None:
        """End a worker at once, without its grace. The requests that it works on get an error."""
        if worker.stoppable:
            worker.cut_short = True
            self.stop(worker, reason)

    def stop(self, worker: Worker, reason: str) -> None:
        """Stop a worker now, whatever it is doing."""
        if worker.stoppable:
            worker.reason = reason
            self._move(worker, State.STOPPING, reason)
            self._tasks.spawn(self._stop(worker, State.STOPPED))

    async def _run(self, worker: Worker, model: Model) -> None:
        """Start the worker, wait until it exits, and handle a failure of either."""
        try:
            await self._lifecycle.start(worker, lambda report: self._handle_report(worker, report))
        except LoadFailure as failure:
            await self._handle_failed_start(worker, model, failure)
            return
        except Exception as error:  # such as no free file descriptors: waiting requests must get an answer
            log.exception("%s could not be started", worker.name)
            await self._handle_failed_start(worker, model, LoadFailure(f"{type(error).__name__}: {error}."))
            return
        await self._measure_loaded(worker)
        if worker.state is State.STARTING:
            self._handle_ready(worker, model)
        code = await self._lifecycle.watch(worker)
        if worker.state in LOADED:
            await self._handle_crash(worker, model, code)

    async def _measure_loaded(self, worker: Worker) -> None:
        """Measure what loading took, before the first request adds to it."""
        began = _now()
        try:
            async with asyncio.timeout(MEASURE_TIMEOUT):
                await self._monitor.measure_loaded(worker, self.workers)
        except Exception:  # it serves requests all the same, and is measured when it is idle
            log.exception("measuring %s failed", worker.name)
        worker.phases["measure"] = _now() - began

    def _handle_ready(self, worker: Worker, model: Model) -> None:
        worker.ready_at = worker.last_used = _now()
        model.reset_backoff()
        seconds = worker.ready_at - worker.started
        LOAD_SECONDS.labels(model.id).observe(seconds)
        RECENT.add_start(worker.cold_start(seconds))
        model.load_seconds.append(seconds)
        model.joins = getattr(worker.process, "joins", None)
        model.facts = model.facts.updated(getattr(worker.process, "facts", ModelFacts()))
        for name in ("features", "tasks"):  # an external server reports neither
            if (reported := getattr(worker.process, name, None)) is not None:
                known: dict[str, Any] = {name: tuple(reported)}
                model.capabilities = replace(model.capabilities, **known)
        self._move(worker, State.READY, f"after {seconds:.2f} s")
        self._scheduler.on_workers_changed()

    async def _handle_crash(self, worker: Worker, model: Model, code: int | None) -> None:
        """Record that a worker has exited unexpectedly, or hangs (`code` is None), and stop what is left of it."""
        assert worker.process is not None
        worker.exit_code, worker.log_tail, worker.hung = code, worker.process.log_tail(), code is None
        reason = f"exited unexpectedly with exit code {code}"
        if worker.hung:
            reason = worker.why_hung(_now())
        model.failure = Failure(time=time.time(), reason=f"It {reason}.", exit_code=code, log_tail=worker.log_tail)
        self._event_log.add("failure", model=model.id, worker=worker.name, reason=f"It {reason}.")
        self._move(worker, State.STOPPING, reason)
        await self._stop(worker, State.STOPPED)

    async def _handle_failed_start(self, worker: Worker, model: Model, failure: LoadFailure) -> None:
        if worker.process and failure.exit_code is not None:
            with suppress(TimeoutError):  # the last lines of its log say the most
                async with asyncio.timeout(EXIT_TIMEOUT):
                    await worker.process.wait()
        if worker.state is not State.STARTING:
            return  # it was stopped on purpose
        worker.exit_code = failure.exit_code
        worker.log_tail = worker.process.log_tail() if worker.process else ""
        final = self._is_final(worker, model, failure)
        if final:
            record = Failure(
                time=time.time(),
                reason=failure.message,
                exit_code=failure.exit_code,
                out_of_memory=failure.out_of_memory,
                permanent=failure.permanent,
                log_tail=worker.log_tail,
            )
            model.back_off(record, _now())
            self._event_log.add("failure", model=model.id, worker=worker.name, reason=failure.message)
        RECENT.add_start(worker.cold_start(_now() - worker.started, failure.message))
        self._move(worker, State.STOPPING, f"did not start: {failure.message}")
        if final and not self.is_serving(model.id):
            self._scheduler.on_start_failed(model)
        await self._stop(worker, State.BACKOFF if final else State.STOPPED)

    def _is_final(self, worker: Worker, model: Model, failure: LoadFailure) -> bool:
        """Whether the model backs off, rather than being started again at once."""
        if failure.out_of_memory:
            # The raised footprint may be enough; running out of memory with that as well is no accident.
            self._raise_footprint(worker)
            model.out_of_memory_starts += 1
            return model.out_of_memory_starts > 1
        killed = failure.exit_code is not None and failure.exit_code < 0
        if killed and not failure.certain:
            # The signal may have come from outside, such as from the kernel's out-of-memory killer.
            model.killed_starts += 1
            return model.killed_starts >= MAX_KILLED_STARTS
        return True

    def _handle_report(self, worker: Worker, report: dict[str, Any]) -> None:
        if report.get("event") == "progress":
            loaded, total = report.get("bytes"), report.get("total")
            self._event_log.add("progress", model=worker.model, worker=worker.name, bytes=loaded, total=total)
        elif report.get("event") == "activity":
            worker.note_activity(report["activity"], _now())
        elif report.get("event") == "work":
            worker.cache_bytes = dict(report["held"])
            count_work(worker.model, report)
        elif report.get("event") == "out_of_memory":
            # Its replacement starts with the raised footprint set aside for it.
            self._raise_footprint(worker)
            if worker.state is State.READY:
                self.drain(worker, "ran out of memory")
            self._scheduler.on_workers_changed()

    def _raise_footprint(self, worker: Worker) -> None:
        raised = self._monitor.raise_footprint(worker, self.workers)
        reason = "ran out of memory"
        self._event_log.add("memory", model=worker.model, worker=worker.name, bytes=raised, reason=reason)

    async def _stop(self, worker: Worker, final_state: State) -> None:
        try:
            if leak := await self._lifecycle.stop(worker):
                self._record_leak(worker, leak)
        except Exception:  # it must not count as stopping for ever; the next sample shows what it still holds
            log.exception("stopping %s failed", worker.name)
        try:  # the next decision must see the memory that came back
            await self._monitor.sample(w for w in self.workers if w is not worker)
        except Exception:
            log.exception("measuring memory after %s failed", worker.name)
        self._move(worker, final_state, worker.reason or "ended")
        self.workers.remove(worker)
        self._scheduler.on_workers_changed()

    def _record_leak(self, worker: Worker, leak: Leak) -> None:
        self.leaks.append({"worker": worker.name, "pids": leak.pids, "devices": worker.placement.devices})
        reason = f"held by pids {leak.pids}" if leak.pids else "held by no process that the driver lists"
        self._event_log.add("leak", model=worker.model, worker=worker.name, bytes=worker.measured, reason=reason)

    def _move(self, worker: Worker, state: State, reason: str) -> None:
        previous = worker.move_to(state)
        self._event_log.add(
            "state",
            model=worker.model,
            worker=worker.name,
            from_=previous,
            to=state,
            reason=reason,
            bytes=worker.measured or None,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
