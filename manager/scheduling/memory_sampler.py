"""Keeps the memory monitor's sample recent: often while workers are busy, seldom while idle, at once for a decision."""

from __future__ import annotations

import time

from manager.background import BackgroundTasks
from manager.memory.monitor import MemoryMonitor
from manager.processes.supervisor import Supervisor

MAX_DECISION_AGE = 1.0
"""Seconds for which a sample is recent enough to decide a start or an eviction."""

BUSY_INTERVAL = 1.0
"""Seconds between samples while workers start or serve requests; also between attempts after a failed sample."""

IDLE_INTERVAL = 10.0
"""Seconds between samples while all workers are idle."""


class MemorySampler:
    """Takes one sample at a time, as a background task; `tasks` tells the scheduler when it is done."""

    def __init__(self, monitor: MemoryMonitor, supervisor: Supervisor, tasks: BackgroundTasks) -> None:
        self._monitor = monitor
        self._supervisor = supervisor
        self._tasks = tasks
        self._sampling = False
        self._failed_at = float("-inf")

    @property
    def fresh(self) -> bool:
        """Whether the latest sample is recent enough for a decision."""
        return self._monitor.age <= MAX_DECISION_AGE

    def keep_current(self) -> None:
        """Take a sample if one is due."""
        busy = self._supervisor.starting or self._supervisor.leases
        if self._supervisor.workers and self._monitor.age > (BUSY_INTERVAL if busy else IDLE_INTERVAL):
            self.refresh()

    def refresh(self) -> None:
        """Take a sample now, unless one is under way or has just failed."""
        if not self._sampling and time.monotonic() - self._failed_at > BUSY_INTERVAL:
            self._sampling = True
            self._tasks.spawn(self._sample())

    async def _sample(self) -> None:
        try:
            await self._monitor.sample(self._supervisor.workers)
        except Exception:
            self._failed_at = time.monotonic()
            raise
        finally:
            self._sampling = False
