"""The workers that there are, and every change of their state: done at once here, carried out by tasks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from contract.status import Failure, State
from manager.events import EventLog
from manager.memory import GIB
from manager.memory.monitor import MemoryMonitor
from manager.metrics import LOAD
from manager.processes.launchers import LoadFailure, Placement
from manager.processes.lifecycle import Leak, Lifecycle
from manager.state.model import SUDDEN_DEATHS, Model
from manager.state.worker import Worker

log = logging.getLogger(__name__)

LAST_WORDS = 2.0
"""Seconds that a worker that reported its failure may take to write down the rest and end."""
UP = frozenset({State.STARTING, State.READY, State.DRAINING})


class Supervisor:
    """Owns the list of workers. `changed` is called after what happens by itself; `gave_up` when a start has failed."""

    def __init__(self, life: Lifecycle, gauge: MemoryMonitor, events: EventLog) -> None:
        self.workers: list[Worker] = []
        self.leaks: list[dict[str, Any]] = []
        self.changed: Callable[[], None] = lambda: None
        self.gave_up: Callable[[Model], None] = lambda _: None
        self._life = life
        self._gauge = gauge
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers: Counter[str] = Counter()  # names are never used twice, also of models that come back

    def of(self, model_id: str) -> list[Worker]:
        return [worker for worker in self.workers if worker.model == model_id]

    def named(self, name: str) -> Worker:
        return next(worker for worker in self.workers if worker.name == name)

    def serves(self, model_id: str) -> bool:
        """Whether the model has a worker that takes requests, or soon will."""
        return any(worker.state in {State.STARTING, State.READY} for worker in self.of(model_id))

    @property
    def starting(self) -> bool:
        return any(worker.state is State.STARTING for worker in self.workers)

    @property
    def leases(self) -> int:
        """Requests under way, in all workers."""
        return sum(worker.leases for worker in self.workers)

    def state_of(self, model: Model) -> State:
        """The model's best worker's state, or why it has none."""
        states = {worker.state for worker in self.of(model.id)}
        idle = State.BACKOFF if (model.retry_at or 0) > _now() else State.STOPPED
        order = (State.READY, State.STARTING, State.DRAINING, State.STOPPING)
        return next((state for state in order if state in states), idle)

    def begin(self, model: Model, placement: Placement, need: int, default_timeout: float) -> Worker:
        """A new worker, starting."""
        now = _now()
        self._numbers[model.id] += 1
        number = self._numbers[model.id]
        worker = Worker(model.id, number, model.spec, placement, need, default_timeout, born=now, last_used=now)
        self.workers.append(worker)
        self._move(worker, State.STARTING, f"needs {need / GIB:.2f} GiB on {', '.join(placement.devices)}")
        self.spawn(self._live(worker, model))
        return worker

    def drain(self, worker: Worker, reason: str, *, resumable: bool = False) -> None:
        """Close a worker to newcomers; it ends when its last lease does. One that is not ready ends at once."""
        worker.reason = reason
        if worker.state is State.DRAINING:
            worker.resumable = worker.resumable and resumable
        elif worker.state is State.READY and worker.leases:
            worker.resumable = resumable
            self._move(worker, State.DRAINING, reason)
        else:
            self.end(worker, reason)

    def resume(self, worker: Worker) -> None:
        """Open it again: nobody needs its memory any more."""
        self._move(worker, State.READY, "no longer needed elsewhere")

    def end(self, worker: Worker, reason: str) -> None:
        """Stop a worker now, whatever it is doing."""
        if worker.state in UP:
            worker.reason = reason
            self._move(worker, State.STOPPING, reason)
            self.spawn(self._take_down(worker, State.STOPPED))

    async def finished(self) -> None:
        """Return when no task of ours is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background, and keep hold of it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a task of the roster failed", exc_info=error)
        self.changed()

    async def _live(self, worker: Worker, model: Model) -> None:
        """From birth to death: what happens to the worker by itself."""
        try:
            await self._life.bring_up(worker, lambda report: self._reported(worker, report))
        except LoadFailure as failure:
            await self._start_failed(worker, model, failure)
            return
        except Exception as error:  # no file or process left to be had, say: whoever waits must hear of it
            log.exception("%s could not be started", worker.name)
            await self._start_failed(worker, model, LoadFailure(f"{type(error).__name__}: {error}."))
            return
        if worker.state is State.STARTING:
            self._became_ready(worker, model)
        assert worker.process is not None
        code = await worker.process.wait()
        if worker.state in {State.READY, State.DRAINING}:
            await self._died(worker, model, code)

    def _became_ready(self, worker: Worker, model: Model) -> None:
        worker.ready_at = worker.last_used = _now()
        model.succeeded()
        LOAD.labels(model.id).observe(worker.ready_at - worker.born)
        for name in ("features", "tasks"):  # a foreign server says nothing of itself
            if (said := getattr(worker.process, name, None)) is not None:
                model.offer = replace(model.offer, **{name: tuple(said)})
        self._move(worker, State.READY, f"after {worker.ready_at - worker.born:.2f} s")
        self.changed()

    async def _died(self, worker: Worker, model: Model, code: int) -> None:
        assert worker.process is not None
        worker.exit_code, worker.log_tail = code, worker.process.log_tail()
        reason = f"It ended by itself with exit code {code}."
        model.failure = Failure(time=time.time(), reason=reason, exit_code=code, log_tail=worker.log_tail)
        self._events.add("failure", model=model.id, worker=worker.name, reason=reason)
        self._move(worker, State.STOPPING, f"died with exit code {code}")
        await self._take_down(worker, State.STOPPED)

    async def _start_failed(self, worker: Worker, model: Model, failure: LoadFailure) -> None:
        if worker.process and failure.exit_code is not None:
            with suppress(TimeoutError):  # what it writes last says the most
                await asyncio.wait_for(worker.process.wait(), LAST_WORDS)
        if worker.state is not State.STARTING:
            return  # it was stopped on purpose
        worker.exit_code = failure.exit_code
        worker.log_tail = worker.process.log_tail() if worker.process else ""
        final = self._is_final(worker, model, failure)
        if final:
            record = Failure(
                time=time.time(), reason=failure.message, exit_code=failure.exit_code, log_tail=worker.log_tail
            )
            model.failed(record, _now())
            self._events.add("failure", model=model.id, worker=worker.name, reason=failure.message)
        self._move(worker, State.STOPPING, f"did not start: {failure.message}")
        if final and not self.serves(model.id):  # else another worker of the model's is there for those who wait
            self.gave_up(model)
        await self._take_down(worker, State.BACKOFF if final else State.STOPPED)

    def _is_final(self, worker: Worker, model: Model, failure: LoadFailure) -> bool:
        """Out of memory is tried once more with more of it; a death by signal may have come from outside."""
        if failure.out_of_memory:
            raised = self._gauge.raise_footprint(worker, self.workers)
            self._events.add("memory", model=model.id, worker=worker.name, bytes=raised, reason="ran out of memory")
            model.out_of_memory += 1
            return model.out_of_memory > 1
        killed = failure.exit_code is not None and failure.exit_code < 0
        if killed and not failure.certain:
            model.sudden += 1
            return model.sudden >= SUDDEN_DEATHS
        return True

    def _reported(self, worker: Worker, report: dict[str, Any]) -> None:
        """What the worker says of itself while it lives."""
        if report.get("event") == "progress":
            self._events.add(
                "progress", model=worker.model, worker=worker.name, bytes=report.get("bytes"), total=report.get("total")
            )
        elif report.get("event") == "out_of_memory":
            raised = self._gauge.raise_footprint(worker, self.workers)
            self._events.add("memory", model=worker.model, worker=worker.name, bytes=raised, reason="ran out of memory")
            if worker.state is State.READY:
                self.drain(worker, "ran out of memory")
            self.changed()

    async def _take_down(self, worker: Worker, to: State) -> None:
        try:
            if leak := await self._life.take_down(worker):
                self._note_leak(worker, leak)
            # The next decision must see the memory that came back.
            await self._gauge.sample(w for w in self.workers if w is not worker)
        except Exception:  # it must not count as stopping for ever: the readings tell what it still holds
            log.exception("%s was not taken down in order", worker.name)
        self._move(worker, to, worker.reason or "ended")
        self.workers.remove(worker)
        self.changed()

    def _note_leak(self, worker: Worker, leak: Leak) -> None:
        self.leaks.append({"worker": worker.name, "pids": leak.pids, "devices": worker.placement.devices})
        held = f"held by pids {leak.pids}" if leak.pids else "held by nobody that the driver lists"
        self._events.add("leak", model=worker.model, worker=worker.name, bytes=worker.measured, reason=held)

    def _move(self, worker: Worker, to: State, reason: str) -> None:
        was = worker.move(to)
        self._events.add(
            "state",
            model=worker.model,
            worker=worker.name,
            from_=was,
            to=to,
            reason=reason,
            bytes=worker.measured or None,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
