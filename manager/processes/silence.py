"""Measures for how long a ready worker has shown no sign of life, to tell a worker that hangs from one that is busy.

Two signs count, and either is enough:

- Its server answers a health check. A worker's HTTP server runs on a thread of its own, so it answers while the model
  works, also when the model only waits for a GPU and uses no CPU time.
- Its processes do something: they use CPU time, read, write, log, or take memory. Code that blocks the HTTP thread for
  an hour, such as a compilation that holds Python's interpreter lock, does that.

A busy worker gives at least one of them, however long it works without output. A process that is stopped (SIGSTOP) or
deadlocked gives neither.
"""

from __future__ import annotations

import asyncio
import time

from manager.processes.progress import Progress
from manager.state.process import Process

LONGEST_INTERVAL = 5.0
"""Seconds between two checks, and for the answer to a health check; less if the silence may be short."""


class Silence:
    """The silence of one ready worker. `limit` is in seconds."""

    def __init__(self, process: Process, limit: float) -> None:
        self.interval = min(LONGEST_INTERVAL, limit / 4)
        self._process = process
        self._limit = limit
        self._progress = Progress(process.pid, process.uuid, process.log_path)
        self._seconds, self._checked = 0.0, time.monotonic()

    async def exceeds_limit(self, device_bytes: int) -> bool:
        """Look for a sign of life; whether there has been none for `limit`. `device_bytes`: what it holds there now."""
        alive = await self._process.responds(self.interval) or await self._does_something(device_bytes)
        before, self._checked = self._checked, time.monotonic()
        # If the manager itself was stopped, the time since the last check says nothing about the worker.
        elapsed = min(self._checked - before, 3 * self.interval)
        self._seconds = 0.0 if alive else self._seconds + elapsed
        return self._seconds >= self._limit

    def reset(self) -> None:
        """Nothing is expected of it at the moment."""
        self._seconds, self._checked = 0.0, time.monotonic()

    async def _does_something(self, device_bytes: int) -> bool:
        return await asyncio.to_thread(self._progress.made_progress, device_bytes)
