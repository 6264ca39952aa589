"""Tells a process from a later one with the same pid, whatever happens to the wall clock.

The start time that `ps` and psutil show is the time since boot plus the boot's time of day, which changes whenever the
clock is set. The kernel's own counters do not.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

_RUSAGE_INFO_V0, _RUSAGE_SIZE, _START_OFFSET = 0, 96, 80
"""macOS: `struct rusage_info_v0` of <sys/resource.h>, and where `ri_proc_start_abstime` is in it."""


def identity(pid: int) -> str | None:
    """A text that no other process on this machine has, before or after; None if there is no such process."""
    return _on_linux(pid) if sys.platform == "linux" else _on_macos(pid)


def is_same(process: psutil.Process, recorded: Mapping[str, Any]) -> bool:
    """Whether this is the process that was recorded. Earlier versions recorded only `started`, in wall-clock seconds.

    Raises psutil.Error if the process has ended and its record is that of an earlier version.
    """
    if known := recorded.get("identity"):
        return bool(identity(process.pid) == known)
    started = recorded.get("started")
    return isinstance(started, float) and abs(process.create_time() - started) < 0.05


def _on_linux(pid: int) -> str | None:
    """The clock ticks from boot to the process's start, and which boot that was if the system says so."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()  # the name may contain brackets
    if len(fields) < 20:
        return None
    return f"{_read('/proc/sys/kernel/random/boot_id').strip()}/{fields[19]}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _on_macos(pid: int) -> str | None:
    """The ticks of the processor's counter at the process's start; they are so fine that two boots share none."""
    buffer = ctypes.create_string_buffer(_RUSAGE_SIZE)
    if ctypes.CDLL("libproc.dylib").proc_pid_rusage(pid, _RUSAGE_INFO_V0, buffer):
        return None
    return str(struct.unpack_from("=Q", buffer, _START_OFFSET)[0])
