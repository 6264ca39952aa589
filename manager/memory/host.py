"""The machine's main memory, within the limits of the container or service that the manager runs in."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import psutil

from manager.memory.cgroup import Limit, limits
from manager.memory.device import MemoryDevice, Reading

_CACHE_SIZE = 512
"""Processes whose size is cached; beyond that, ended ones are dropped."""


class Machine(Protocol):
    """The whole machine's memory as psutil reports it, in bytes."""

    @property
    def total(self) -> int: ...

    @property
    def available(self) -> int: ...


class Host:
    """Reads the machine and its cgroups. A process is measured by its unique set size: memory that it alone holds."""

    def __init__(
        self,
        machine: Callable[[], Machine] = psutil.virtual_memory,
        groups: Callable[[], list[Limit]] = limits,
    ) -> None:
        self._machine, self._groups = machine, groups
        self._measured: dict[psutil.Process, tuple[int, int]] = {}

    def device(self) -> MemoryDevice:
        """The device `cpu`, with as much memory as this process may use."""
        return MemoryDevice("cpu", "cpu", _processor(), self.reading().total)

    def reading(self) -> Reading:
        """Memory within the tightest limit. Whatever is not available to this process counts as used."""
        machine, groups = self._machine(), self._groups()
        total = min(machine.total, *(group.total for group in groups)) if groups else machine.total
        available = min([machine.available, *(group.total - group.used for group in groups)])
        return Reading("cpu", total, total - min(max(available, 0), total))

    def bytes_of(self, processes: Iterable[psutil.Process]) -> int:
        """The bytes that these processes hold. A process that has ended meanwhile holds none."""
        return sum(self._bytes(process) for process in processes)

    def _bytes(self, process: psutil.Process) -> int:
        """The kernel walks all pages to find the unique set (6 ms per GiB), so only when the resident size changed."""
        try:
            resident = process.memory_info().rss
            cached = self._measured.get(process)
            if cached and cached[0] == resident:
                return cached[1]
            unique = _unique(process)
        except psutil.Error:
            self._measured.pop(process, None)
            return 0
        self._remember(process, resident, unique)
        return unique

    def _remember(self, process: psutil.Process, resident: int, unique: int) -> None:
        if len(self._measured) >= _CACHE_SIZE:
            self._measured = {known: value for known, value in self._measured.items() if known.is_running()}
        self._measured[process] = (resident, unique)


def _unique(process: psutil.Process) -> int:
    """Without permission to see its pages, resident less shared is close. macOS does not report shared memory."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.AccessDenied:
        info = process.memory_info()
        return int(info.rss - getattr(info, "shared", 0))


def _processor() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model_names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(model_names, platform.machine())
    return platform.machine()
