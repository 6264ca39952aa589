"""Decides whether a silent start is still making progress, from what its processes do: ours and external servers'."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from manager.process_tree import tree
from manager.processes.log_progress import LogProgress

BUSY_SHARE = 0.02
"""Share of one core above which CPU time is work; a process that only waits uses less for waking up."""

CLOCK_GRAIN = 0.02
"""Seconds of CPU time that may only be the resolution of the system's accounting."""

IO_BYTES = 64 << 10
"""Bytes read or written that count as progress; timers and pipes cause less."""

GROWTH_BYTES = 1 << 20
"""Bytes by which memory must exceed its previous maximum to count as progress."""


PROBE_IO = 2 << 10
"""Bytes that a server may read, write and log to answer one health probe."""


@dataclass(slots=True)
class Probes:
    """Our health probes of a server that starts: their path, and how many it has answered."""

    path: str
    answered: int = 0


@dataclass(frozen=True, slots=True)
class Activity:
    """What a start has done up to `time` (seconds): CPU seconds, and bytes logged, read or written, and held.

    `log` counts lines if health probes may have caused some. `cpu` and `io` add up over all processes of the tree,
    including those that have ended. `resident` is main memory, `device` the memory on its devices.
    """

    time: float
    log: int = 0
    cpu: float = 0.0
    io: int = 0
    resident: int = 0
    device: int = 0


def shows_progress(baseline: Activity, previous: Activity, now: Activity) -> bool:
    """Whether anything happened. `baseline` is the activity at the last progress.

    CPU time is compared with the `previous` check, so that the little that an idle process uses does not add up. All
    else is compared with the baseline, so that slow growth does add up.
    """
    return (
        now.log != baseline.log
        or now.cpu - previous.cpu > max(CLOCK_GRAIN, BUSY_SHARE * (now.time - previous.time))
        or now.io - baseline.io >= IO_BYTES
        or now.resident - baseline.resident >= GROWTH_BYTES
        or now.device - baseline.device >= GROWTH_BYTES
    )


def next_baseline(baseline: Activity, now: Activity) -> Activity:
    """The baseline after progress. It keeps the maximum of memory: shrinking and growing again is no progress."""
    resident, device = max(baseline.resident, now.resident), max(baseline.device, now.device)
    return Activity(now.time, now.log, now.cpu, now.io, resident, device)


@dataclass(slots=True)
class _ProcessActivity:
    """One process's counters at the previous check."""

    cpu: float = 0.0
    io: int = 0


class Progress:
    """Watches one start. `made_progress` takes some milliseconds: call it in a thread, about once a second."""

    def __init__(
        self, pid: int, uuid: str, log_path: Path | None = None, clock: Callable[[], float] = time.monotonic,
        probes: Probes | None = None,
    ) -> None:  # fmt: skip
        self.pid = pid
        self._uuid, self._clock, self._probes = uuid, clock, probes
        self._log_path = log_path
        self._probed_log = LogProgress(log_path, probes.path) if probes else None
        self._processes: dict[psutil.Process, _ProcessActivity] = {}
        self._cpu, self._io = 0.0, 0
        self._baseline = self._previous = Activity(clock())

    def made_progress(self, device_bytes: int = 0) -> bool:
        """Whether it made progress since the previous call. `device_bytes`: what it holds on its devices now."""
        now = self._measure(device_bytes)
        progress = shows_progress(self._baseline, self._previous, now)
        if progress:
            self._baseline = next_baseline(self._baseline, now)
        self._previous = now
        return progress

    def _measure(self, device_bytes: int) -> Activity:
        resident = 0
        for process in tree(self.pid, self._uuid):
            try:
                resident += self._add(process)
            except psutil.Error:
                continue
        io = self._io - (self._probes.answered * PROBE_IO if self._probes else 0)
        return Activity(self._clock(), self._log_size(), self._cpu, io, resident, device_bytes)

    def _log_size(self) -> int:
        if self._probed_log:
            return self._probed_log.update()
        try:
            return self._log_path.stat().st_size if self._log_path else 0
        except OSError:
            return 0

    def _add(self, process: psutil.Process) -> int:
        """Add what the process did since the previous check. Returns its resident bytes."""
        times, previous = process.cpu_times(), self._processes.get(process, _ProcessActivity())
        activity = _ProcessActivity(times.user + times.system, _io_bytes(process))
        self._cpu += max(0.0, activity.cpu - previous.cpu)
        self._io += max(0, activity.io - previous.io)
        self._processes[process] = activity
        return int(process.memory_info().rss)


def _io_bytes(process: psutil.Process) -> int:
    """Bytes read from and written to disk, page cache and pipes; 0 on macOS, which does not report them."""
    counters = getattr(process, "io_counters", None)
    try:
        io = counters() if counters else None
    except psutil.AccessDenied:
        io = None
    return io.read_bytes + io.read_chars + io.write_chars if io else 0
