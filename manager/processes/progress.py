"""Tells whether a silent start is still moving, from what its processes do: ours and foreign servers alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from manager.process_tree import tree

BUSY = 0.02
"""Share of one core above which CPU time is work; a process that only waits wakes up for less."""

TICK = 0.02
"""Seconds of CPU time that may be the clock's own grain."""

MOVED_BYTES = 64 << 10
"""Bytes read or written since the last move that are more than timers and pipes cause."""

GROWN_BYTES = 1 << 20
"""Bytes by which memory must exceed its highest value so far."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a start has done until `time` (seconds): CPU seconds, and bytes logged, moved, resident and on its device.

    `cpu` and `moved` add up over all processes of the tree, those that have ended included.
    """

    time: float
    log: int = 0
    cpu: float = 0.0
    moved: int = 0
    resident: int = 0
    device: int = 0


def is_moving(mark: Signs, last: Signs, now: Signs) -> bool:
    """Whether anything went on: since the `last` look for CPU time, since the `mark` of the last move for the rest."""
    return (
        now.log != mark.log
        or now.cpu - last.cpu > max(TICK, BUSY * (now.time - last.time))
        or now.moved - mark.moved >= MOVED_BYTES
        or now.resident - mark.resident >= GROWN_BYTES
        or now.device - mark.device >= GROWN_BYTES
    )


def higher(mark: Signs, now: Signs) -> Signs:
    """The next mark after a move: memory that shrinks and grows again is no progress, so its highest value stays."""
    resident, device = max(mark.resident, now.resident), max(mark.device, now.device)
    return Signs(now.time, now.log, now.cpu, now.moved, resident, device)


@dataclass(slots=True)
class _ProcessActivity:
    """One process's counters at the last look."""

    cpu: float = 0.0
    moved: int = 0


class Progress:
    """Watches one start. `moved` takes some milliseconds: call it in a thread, about every second."""

    def __init__(
        self, pid: int, uuid: str, log_path: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pid = pid
        self._root, self._log_path, self._clock = (pid, uuid), log_path, clock
        self._known: dict[psutil.Process, _ProcessActivity] = {}
        self._cpu, self._moved = 0.0, 0
        self._mark = self._last = Signs(clock())

    def moved(self, device_bytes: int = 0) -> bool:
        """Whether it has moved since the last call, given the bytes that it holds on its devices now."""
        now = self._look(device_bytes)
        moving = is_moving(self._mark, self._last, now)
        if moving:
            self._mark = higher(self._mark, now)
        self._last = now
        return moving

    def _look(self, device_bytes: int) -> Signs:
        resident = 0
        for process in tree(*self._root):
            try:
                resident += self._add(process)
            except psutil.Error:
                continue
        return Signs(self._clock(), self._log_size(), self._cpu, self._moved, resident, device_bytes)

    def _log_size(self) -> int:
        try:
            return self._log_path.stat().st_size if self._log_path else 0
        except OSError:
            return 0

    def _add(self, process: psutil.Process) -> int:
        """Add what it did since the last look; returns its resident bytes."""
        times, before = process.cpu_times(), self._known.get(process, _ProcessActivity())
        work = _ProcessActivity(times.user + times.system, _bytes_moved(process))
        self._cpu += max(0.0, work.cpu - before.cpu)
        self._moved += max(0, work.moved - before.moved)
        self._known[process] = work
        return int(process.memory_info().rss)


def _bytes_moved(process: psutil.Process) -> int:
    """Read and written, from disk, page cache and pipes; macOS does not tell, there the other signs must do."""
    counters = getattr(process, "io_counters", None)
    try:
        io = counters() if counters else None
    except psutil.AccessDenied:
        io = None
    return io.read_bytes + io.read_chars + io.write_chars if io else 0
