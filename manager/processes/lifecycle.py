"""Starts and stops a worker's process: everything that takes time, outside the scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from contract.config import ModelSpec
from contract.status import State
from manager.memory.monitor import MemoryMonitor, root_process
from manager.processes.launchers import Launcher, ReportHandler
from manager.processes.progress import Progress
from manager.processes.silence import Silence
from manager.state.process import LoadFailure, Process
from manager.state.worker import Worker

CHECK_INTERVAL = 1.0
"""Seconds between two checks of whether a start makes progress."""

RELEASE_TIMEOUT = 10.0
"""Seconds that memory may take to come back after a worker has ended, before it counts as leaked."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Memory that did not come back, and the pids that still hold it, if the driver lists them."""

    pids: tuple[int, ...]


class Lifecycle:
    """Starts and stops workers. `launchers` returns the launcher for an entry."""

    def __init__(self, launchers: Callable[[ModelSpec], Launcher], monitor: MemoryMonitor) -> None:
        self._launchers = launchers
        self._monitor = monitor

    async def start(self, worker: Worker, report: ReportHandler) -> None:
        """Return once the worker is ready. Raises LoadFailure if it fails, exits, falls silent or takes too long."""
        launcher, began = self._launchers(worker.spec), time.monotonic()
        try:
            worker.process = await launcher.start(worker.spec, worker.placement, worker.name, report)
        finally:
            worker.launched.set()
            worker.phases["process"] = (launched := time.monotonic()) - began
        ready = asyncio.ensure_future(worker.process.ready())
        try:
            await self._watch_progress(worker, worker.process, ready)
        finally:
            ready.cancel()
            imported = max(launched, getattr(worker.process, "imported_at", None) or launched)
            worker.phases |= {"imports": imported - launched, "load": time.monotonic() - imported}

    async def watch(self, worker: Worker) -> int | None:
        """Return the exit code once a ready worker's process has ended; None once it has to be ended.

        That is when it hangs while requests need it, or does not get done with what no client waits for any more.
        """
        process = worker.process
        assert process is not None
        silence = Silence(process, worker.spec.hang_timeout)
        ended = asyncio.ensure_future(process.wait())
        try:
            while not (await asyncio.wait({ended}, timeout=silence.interval))[0]:
                if worker.overdue(asyncio.get_running_loop().time()):
                    return None
                if not worker.leases or worker.state is State.STOPPING:
                    silence.reset()
                elif await silence.exceeds_limit(worker.measured):
                    return None
            return ended.result()
        finally:
            ended.cancel()

    async def stop(self, worker: Worker) -> Leak | None:
        """Stop the process and wait until its memory is measured to be back; what does not come back is a leak."""
        await worker.launched.wait()  # a process cannot be stopped halfway through its launch
        process = worker.process
        if process is None:
            return None
        await process.stop(0 if worker.cut_short or worker.hung else worker.spec.stop_grace)
        worker.log_tail = process.log_tail()
        deadline = time.monotonic() + RELEASE_TIMEOUT
        delay = 0.005
        root, meter = root_process(worker), self._monitor.meter
        while not await asyncio.to_thread(meter.freed, root):
            if time.monotonic() > deadline:
                return Leak(tuple(await asyncio.to_thread(meter.holders, root)))
            await asyncio.sleep(delay)
            delay = min(0.25, delay * 2)
        return None

    async def _watch_progress(self, worker: Worker, process: Process, ready: asyncio.Future[None]) -> None:
        """A start fails when it is silent for too long, however long it takes: some models load for an hour."""
        progress = _progress(process)
        started = last_progress = time.monotonic()
        while True:
            done, _ = await asyncio.wait({ready}, timeout=CHECK_INTERVAL)
            if done:
                return ready.result()
            now = time.monotonic()
            if process.pid != progress.pid:  # an external server whose port was taken has been started again
                progress, last_progress = _progress(process), now
            if await asyncio.to_thread(progress.made_progress, worker.measured):
                last_progress = now
            if now - last_progress > worker.spec.start_silence:
                raise LoadFailure(f"it was silent for {worker.spec.start_silence:g} s while starting.")
            if now - started > worker.spec.start_deadline:
                raise LoadFailure(f"it was not ready after {worker.spec.start_deadline:g} s.")


def _progress(process: Process) -> Progress:
    return Progress(process.pid, process.uuid, process.log_path, probes=getattr(process, "probes", None))
