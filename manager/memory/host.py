"""The machine's own memory, within the limits of the container or service that we run in."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import psutil

from manager.memory import MemoryDevice, Reading
from manager.memory.cgroup import Limit, limits

_KEEP = 512
"""Processes to remember; dead ones are dropped beyond that."""


class Machine(Protocol):
    """What psutil says of the whole machine, in bytes."""

    @property
    def total(self) -> int: ...

    @property
    def available(self) -> int: ...


class Host:
    """Reads machine and cgroup, and measures processes by what only they hold (unique set size)."""

    def __init__(
        self,
        machine: Callable[[], Machine] = psutil.virtual_memory,
        groups: Callable[[], list[Limit]] = limits,
    ) -> None:
        self._machine, self._groups = machine, groups
        self._measured: dict[psutil.Process, tuple[int, int]] = {}

    def device(self) -> MemoryDevice:
        """`cpu`, with as much memory as we may use."""
        return MemoryDevice("cpu", "cpu", _processor(), self.reading().total)

    def reading(self) -> Reading:
        """What the tightest limit leaves; what is not available to us counts as used."""
        machine, groups = self._machine(), self._groups()
        total = min(machine.total, *(group.total for group in groups)) if groups else machine.total
        left = min([machine.available, *(group.total - group.used for group in groups)])
        return Reading("cpu", total, total - min(max(left, 0), total))

    def bytes_of(self, processes: Iterable[psutil.Process]) -> int:
        """What these processes hold, in bytes; those that ended meanwhile hold nothing."""
        return sum(self._bytes(process) for process in processes)

    def _bytes(self, process: psutil.Process) -> int:
        """The kernel walks all pages for the unique set (6 ms a GiB): only when the resident size has changed."""
        try:
            resident = process.memory_info().rss
            before = self._measured.get(process)
            if before and before[0] == resident:
                return before[1]
            unique = _unique(process)
        except psutil.Error:
            self._measured.pop(process, None)
            return 0
        self._remember(process, resident, unique)
        return unique

    def _remember(self, process: psutil.Process, resident: int, unique: int) -> None:
        if len(self._measured) >= _KEEP:
            self._measured = {known: value for known, value in self._measured.items() if known.is_running()}
        self._measured[process] = (resident, unique)


def _unique(process: psutil.Process) -> int:
    """Without the right to see its pages, resident less shared comes near (macOS does not tell shared)."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.AccessDenied:
        info = process.memory_info()
        return int(info.rss - getattr(info, "shared", 0))


def _processor() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(named, platform.machine())
    return platform.machine()
