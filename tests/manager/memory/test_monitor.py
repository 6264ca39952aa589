"""The gauge's readings: the latest count, and a meter that fails is not asked without end."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from contract.config import MemorySettings
from manager.memory import GIB, Reading, Sample
from manager.memory.monitor import MemoryMonitor
from tests.manager.conftest import Make
from tests.support.virtual_clock import FakeMeter


class Slow(FakeMeter):
    """Its first reading takes until it is let go."""

    def __init__(self) -> None:
        super().__init__({"cpu": 10 * GIB}, {})
        self.asked, self.go = threading.Event(), threading.Event()

    def sample(self, roots: Any) -> Sample:
        if self.asked.is_set():
            return Sample({"cpu": Reading("cpu", 10 * GIB, 1 * GIB)}, {})
        self.asked.set()
        self.go.wait(30)
        return Sample({"cpu": Reading("cpu", 10 * GIB, 9 * GIB)}, {})


async def test_a_reading_that_comes_late_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    meter = Slow()
    gauge = MemoryMonitor.over(meter, MemorySettings(safety_margin_gb=0), tmp_path)
    late = asyncio.create_task(gauge.sample(()))
    await asyncio.to_thread(meter.asked.wait, 30)
    await gauge.sample(())
    meter.go.set()
    await late
    assert gauge.budgets(()) == {"cpu": 9 * GIB}


def test_a_meter_that_fails_is_not_asked_over_and_over(make: Make) -> None:
    bench = make({"a": {"needs": 2}})
    bench.ask("a")
    bench.started("a#1")
    tries = 0

    async def fails(_: Any) -> None:
        nonlocal tries
        tries += 1
        raise OSError(24, "Too many open files")

    bench.gauge.sample = fails  # type: ignore[method-assign]
    bench.gauge.age = 5.0  # type: ignore[misc]
    for _ in range(20):
        bench.do(bench.pool._schedule)
    assert tries == 1
