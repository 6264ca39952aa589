"""The birth and the death of a worker: what has to be awaited, outside the pool that decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from manager.memory.monitor import MemoryMonitor, root_of
from manager.processes.launchers import Launcher, LoadFailure, Process
from manager.processes.progress import Progress
from manager.state.worker import Worker

LOOK_EVERY = 1.0
RELEASE_BOUND = 10.0
"""Seconds that memory may take to come back after a worker's end, before it counts as leaked."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Memory that did not come back, and the processes that still hold it, where the driver tells."""

    pids: tuple[int, ...]


class Lifecycle:
    """Starts and ends workers. `changed` is called after each step, so that the pool can decide anew."""

    def __init__(self, launchers: Callable[[str], Launcher], gauge: MemoryMonitor) -> None:
        self._launchers = launchers
        self._gauge = gauge

    async def bring_up(self, worker: Worker, report: Callable[[dict[str, Any]], None]) -> None:
        """Return once the worker is ready. Raises LoadFailure: it said so, ended, fell silent or took too long."""
        launcher = self._launchers(worker.spec.engine)
        try:
            worker.process = await launcher.start(worker.spec, worker.placement, worker.name, report)
        finally:
            worker.birth.set()
        ready = asyncio.ensure_future(worker.process.ready())
        try:
            await self._watch_progress(worker, worker.process, ready)
        finally:
            ready.cancel()

    async def _watch_progress(self, worker: Worker, process: Process, ready: asyncio.Future[None]) -> None:
        """A start is judged by its silence, not by its duration: some models take an hour to load."""
        progress = Progress(process.pid, process.uuid, process.log_path)
        started = moved = time.monotonic()
        while True:
            done, _ = await asyncio.wait({ready}, timeout=LOOK_EVERY)
            if done:
                return ready.result()
            now = time.monotonic()
            if process.pid != progress.pid:  # a foreign server whose port was taken has been started anew
                progress, moved = Progress(process.pid, process.uuid, process.log_path), now
            if await asyncio.to_thread(progress.moved, worker.measured):
                moved = now
            if now - moved > worker.spec.start_silence:
                raise LoadFailure(f"it was silent for {worker.spec.start_silence:g} s while starting.")
            if now - started > worker.spec.start_deadline:
                raise LoadFailure(f"it was not ready after {worker.spec.start_deadline:g} s.")

    async def take_down(self, worker: Worker) -> Leak | None:
        """End the process and wait until its memory is measured to be back, or until the bound: that is a leak."""
        await worker.birth.wait()  # one that is told to go while it is being born is ended after its birth
        process = worker.process
        if process is None:
            return None
        await process.stop(worker.spec.stop_grace)
        worker.log_tail = process.log_tail()
        deadline = time.monotonic() + RELEASE_BOUND
        delay = 0.005
        root, meter = root_of(worker), self._gauge.meter
        while not await asyncio.to_thread(meter.freed, root, root.devices):
            if time.monotonic() > deadline:
                return Leak(tuple(await asyncio.to_thread(meter.holds, root, root.devices)))
            await asyncio.sleep(delay)
            delay = min(0.25, delay * 2)
        return None
