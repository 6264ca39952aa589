"""Apple's unified memory: one memory for CPU and GPU, of which the GPU may use a limited part."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import platform
from collections.abc import Callable, Iterable
from typing import Any

import psutil

from manager.memory.device import GIB, MemoryDevice, Reading
from manager.memory.host import Machine

RUSAGE_INFO_V2 = 2

Usage = Callable[[int, int, Any], int]
"""libproc's `proc_pid_rusage(pid, flavor, buffer)`: returns 0, or -1 for a process that is gone or not ours."""

Sysctl = Callable[[str], bytes]
"""Returns the bytes of a kernel setting by its name; empty if there is no such setting."""


class RusageInfo(ctypes.Structure):
    """`struct rusage_info_v2` of <sys/resource.h>."""

    _fields_ = (
        ("ri_uuid", ctypes.c_uint8 * 16),
        ("ri_user_time", ctypes.c_uint64),
        ("ri_system_time", ctypes.c_uint64),
        ("ri_pkg_idle_wkups", ctypes.c_uint64),
        ("ri_interrupt_wkups", ctypes.c_uint64),
        ("ri_pageins", ctypes.c_uint64),
        ("ri_wired_size", ctypes.c_uint64),
        ("ri_resident_size", ctypes.c_uint64),
        ("ri_phys_footprint", ctypes.c_uint64),
        ("ri_proc_start_abstime", ctypes.c_uint64),
        ("ri_proc_exit_abstime", ctypes.c_uint64),
        ("ri_child_user_time", ctypes.c_uint64),
        ("ri_child_system_time", ctypes.c_uint64),
        ("ri_child_pkg_idle_wkups", ctypes.c_uint64),
        ("ri_child_interrupt_wkups", ctypes.c_uint64),
        ("ri_child_pageins", ctypes.c_uint64),
        ("ri_child_elapsed_abstime", ctypes.c_uint64),
        ("ri_diskio_bytesread", ctypes.c_uint64),
        ("ri_diskio_byteswritten", ctypes.c_uint64),
    )


class Unified:
    """Reads Apple's memory. A process is measured by its physical footprint, which includes GPU buffers."""

    def __init__(
        self,
        machine: Callable[[], Machine] = psutil.virtual_memory,
        usage: Usage | None = None,
        sysctl: Sysctl | None = None,
        macos: str = platform.mac_ver()[0],
    ) -> None:
        self._machine, self._macos = machine, macos
        self._usage = usage or _library("proc").proc_pid_rusage
        self._sysctl = sysctl or _sysctl

    def device(self) -> MemoryDevice:
        """The device `mps`. It supports bfloat16 since macOS 14."""
        name = self._sysctl("machdep.cpu.brand_string").rstrip(b"\0").decode(errors="replace") or "Apple GPU"
        return MemoryDevice("mps", "mps", name, self._limit(), bf16=int(self._macos.partition(".")[0] or 0) >= 14)

    def reading(self) -> Reading:
        """Memory within the GPU's limit. Memory beyond the limit is counted as room for other programs first."""
        total = self._limit()
        return Reading("mps", total, total - min(max(self._machine().available, 0), total))

    def bytes_of(self, processes: Iterable[psutil.Process]) -> int:
        """The bytes that these processes hold. A process that has ended meanwhile holds none."""
        return sum(self._footprint(process.pid) for process in processes)

    def _footprint(self, pid: int) -> int:
        info = RusageInfo()
        failed = self._usage(pid, RUSAGE_INFO_V2, ctypes.byref(info))
        return 0 if failed else int(info.ri_phys_footprint)

    def _limit(self) -> int:
        """How much the GPU may wire: the user's setting, else the system's default for a machine of this size."""
        total = self._machine().total
        set_by_user = int.from_bytes(self._sysctl("iogpu.wired_limit_mb"), "little") << 20
        default = total * 3 // 4 if total > 36 * GIB else total * 2 // 3
        return min(set_by_user or default, total)


@functools.cache
def _library(name: str) -> Any:
    return ctypes.CDLL(ctypes.util.find_library(name) or f"lib{name}.dylib")


def _sysctl(name: str) -> bytes:
    buffer, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
    failed = _library("c").sysctlbyname(name.encode(), buffer, ctypes.byref(size), None, ctypes.c_size_t(0))
    return b"" if failed else buffer.raw[: size.value]
