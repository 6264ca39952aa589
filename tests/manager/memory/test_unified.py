"""Apple's unified memory, with stand-ins for the system's calls."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from manager.memory.budget import budget
from manager.memory.device import GIB, Reading
from manager.memory.unified import RUSAGE_INFO_V2, RusageInfo, Unified

MIB = 1 << 20


class Mac:
    """A machine with `total` and `available` bytes, and processes whose footprints are given by pid."""

    def __init__(self, total: int, available: int, footprints: dict[int, int] | None = None, wired_mb: int = 0) -> None:
        self.total, self.available, self.footprints, self.wired_mb = total, available, footprints or {}, wired_mb

    def usage(self, pid: int, flavor: int, buffer: Any) -> int:
        assert flavor == RUSAGE_INFO_V2
        if pid not in self.footprints:
            return -1
        info = ctypes.cast(buffer, ctypes.POINTER(RusageInfo)).contents
        info.ri_resident_size = 1  # which does not include GPU buffers
        info.ri_phys_footprint = self.footprints[pid]
        return 0

    def sysctl(self, name: str) -> bytes:
        known = {"iogpu.wired_limit_mb": self.wired_mb.to_bytes(4, "little"), "machdep.cpu.brand_string": b"Apple M4\0"}
        return known.get(name, b"")

    def memory(self, macos: str = "15.1") -> Unified:
        machine = SimpleNamespace(total=self.total, available=self.available)
        return Unified(lambda: machine, self.usage, self.sysctl, macos)


@pytest.mark.parametrize(
    ("total", "wired_mb", "limit"),
    [
        (64 * GIB, 0, 48 * GIB),
        (24 * GIB, 0, 16 * GIB),
        (64 * GIB, 57_344, 56 * GIB),
        (64 * GIB, 1_000_000, 64 * GIB),
    ],
)
def test_the_devices_size_is_the_gpus_limit(total: int, wired_mb: int, limit: int) -> None:
    mac = Mac(total, total, wired_mb=wired_mb)
    assert mac.memory().device().total == limit
    assert mac.memory().reading() == Reading("mps", limit, 0)


def test_cpu_and_gpu_share_one_device() -> None:
    device = Mac(64 * GIB, 32 * GIB).memory().device()
    assert (device.id, device.kind, device.name) == ("mps", "mps", "Apple M4")


@pytest.mark.parametrize(("macos", "bf16"), [("13.6", False), ("14.0", True), ("26.1", True), ("", False)])
def test_bfloat16_needs_macos_14(macos: str, bf16: bool) -> None:
    assert Mac(64 * GIB, GIB).memory(macos).device().bf16 is bf16


def test_memory_beyond_the_limit_is_used_up_first() -> None:
    roomy, tight = Mac(64 * GIB, 58 * GIB).memory().reading(), Mac(64 * GIB, 34 * GIB).memory().reading()
    assert (roomy.used, tight.used) == (0, 14 * GIB)
    assert budget(tight, own=0, margin=2 * GIB) == 32 * GIB
    with_own = Mac(64 * GIB, 14 * GIB).memory().reading()
    assert budget(with_own, own=20 * GIB, margin=2 * GIB) == 32 * GIB


def test_a_process_is_measured_by_its_physical_footprint() -> None:
    memory = Mac(64 * GIB, GIB, {10: 5 * GIB, 11: GIB}).memory()
    processes: list[Any] = [SimpleNamespace(pid=pid) for pid in (10, 11, 12)]
    assert memory.bytes_of(processes) == 6 * GIB


def test_the_structure_has_its_documented_layout() -> None:
    assert ctypes.sizeof(RusageInfo) == 16 + 18 * 8
    assert RusageInfo.ri_phys_footprint.offset == 16 + 7 * 8


@pytest.mark.skipif(not psutil.MACOS, reason="measures a real Mac")
def test_the_real_mac_measures_this_process() -> None:
    assert Unified().bytes_of([psutil.Process()]) > MIB
