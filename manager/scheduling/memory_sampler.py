"""Keeps the gauge's readings current: often while something moves, seldom at rest, and at once when a decision asks."""

from __future__ import annotations

import time

from manager.memory.monitor import MemoryMonitor
from manager.processes.supervisor import Supervisor

FRESH = 1.0
"""No start and no eviction is decided on readings older than this, in seconds."""
MOVING = 1.0
"""How often memory is read while workers start or work, in seconds."""
AT_REST = 10.0
"""How often while they only wait for work."""


class MemorySampler:
    """Takes one sample at a time, in the background; the roster tells the pool when it is there."""

    def __init__(self, gauge: MemoryMonitor, roster: Supervisor) -> None:
        self._gauge = gauge
        self._roster = roster
        self._sampling = False
        self._failed = float("-inf")

    @property
    def fresh(self) -> bool:
        """Whether a decision may rest on them."""
        return self._gauge.age <= FRESH

    def keep_current(self) -> None:
        """Read again if it is time."""
        workers = self._roster.workers
        moving = self._roster.starting or any(worker.leases for worker in workers)
        if workers and self._gauge.age > (MOVING if moving else AT_REST):
            self.refresh()

    def refresh(self) -> None:
        """Read again now; where that has just failed, it is not tried over and over."""
        if not self._sampling and time.monotonic() - self._failed > MOVING:
            self._sampling = True
            self._roster.spawn(self._sample())

    async def _sample(self) -> None:
        try:
            await self._gauge.sample(self._roster.workers)
        except Exception:
            self._failed = time.monotonic()
            raise
        finally:
            self._sampling = False
