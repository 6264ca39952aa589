"""The monitor keeps the newest sample, and a failing meter is not asked over and over."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from contract.config import MemorySettings
from manager.memory.device import GIB, Reading, Sample
from manager.memory.monitor import MemoryMonitor
from tests.manager.conftest import Make
from tests.support.virtual_clock import FakeMeter


class SlowMeter(FakeMeter):
    """Its first sample takes until `go` is set."""

    def __init__(self) -> None:
        super().__init__({"cpu": 10 * GIB}, {})
        self.begun, self.go = threading.Event(), threading.Event()

    def sample(self, roots: Any) -> Sample:
        if self.begun.is_set():
            return Sample({"cpu": Reading("cpu", 10 * GIB, 1 * GIB)}, {})
        self.begun.set()
        self.go.wait(30)
        return Sample({"cpu": Reading("cpu", 10 * GIB, 9 * GIB)}, {})


async def test_a_late_sample_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    meter = SlowMeter()
    monitor = MemoryMonitor.in_home(meter, MemorySettings(safety_margin_gb=0), tmp_path)
    late = asyncio.create_task(monitor.sample(()))
    await asyncio.to_thread(meter.begun.wait, 30)
    await monitor.sample(())
    meter.go.set()
    await late
    assert monitor.budgets(()) == {"cpu": 9 * GIB}


def test_a_failing_meter_is_not_asked_over_and_over(make: Make) -> None:
    harness = make({"a": {"needs": 2}})
    harness.request("a")
    harness.finish_start("a#1")
    tries = 0

    async def fails(_: Any) -> None:
        nonlocal tries
        tries += 1
        raise OSError(24, "Too many open files")

    harness.monitor.sample = fails  # type: ignore[method-assign]
    harness.monitor.age = 5.0  # type: ignore[misc]
    for _ in range(20):
        harness.call(harness.pool._schedule)
    assert tries == 1
