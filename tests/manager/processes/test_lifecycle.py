"""Unusual starts: one that is stopped during its launch, and one that goes on as another process."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.config import MemorySettings, ModelSpec
from manager.memory.monitor import MemoryMonitor
from manager.processes import lifecycle
from manager.processes.lifecycle import Lifecycle
from manager.state.process import LoadFailure, Placement
from manager.state.worker import Worker
from tests.support.virtual_clock import FakeMeter, FakeProcess


class SlowLauncher:
    """Launches its process when `go` is set, and notes whether the process was stopped."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.stopped = asyncio.Event()

    async def start(self, *_: Any) -> Any:
        await self.go.wait()
        process = FakeProcess()

        async def stop(grace: float) -> None:
            self.stopped.set()

        process.stop = stop  # type: ignore[method-assign]
        return process


def lifecycle_of(launcher: SlowLauncher, home: Path) -> Lifecycle:
    monitor = MemoryMonitor.in_home(FakeMeter({"cpu": 1 << 30}, {}), MemorySettings(), home)
    return Lifecycle(lambda _: launcher, monitor)


async def test_stop_waits_for_the_launch(tmp_path: Path) -> None:
    launcher = SlowLauncher()
    workers = lifecycle_of(launcher, tmp_path)
    worker = Worker("m", 1, ModelSpec(id="m", engine="fake"), Placement(), 0, 60)
    start = asyncio.create_task(workers.start(worker, lambda _: None))
    stop = asyncio.create_task(workers.stop(worker))
    await asyncio.sleep(0)
    assert not stop.done()
    launcher.go.set()
    await asyncio.gather(start, stop)
    assert launcher.stopped.is_set()


class Restarting(FakeProcess):
    """Goes on as another process after every `checks_per_pid` checks, and is ready after six."""

    checks = 0
    checks_per_pid = 2

    async def ready(self) -> None:
        while self.checks < 6:
            self.pid = 1 + self.checks // self.checks_per_pid
            await asyncio.sleep(0)


@pytest.fixture
async def process(monkeypatch: pytest.MonkeyPatch) -> Restarting:
    """A process that never makes progress, on a clock that moves by 0.4 s from check to check."""
    process = Restarting()

    class Silent:
        def __init__(self, pid: int, *_: Any, probes: Any = None) -> None:
            self.pid = pid

        def made_progress(self, device_bytes: int) -> bool:
            process.checks += 1
            return False

    ticks = itertools.count()
    monkeypatch.setattr(lifecycle, "Progress", Silent)
    monkeypatch.setattr(lifecycle, "CHECK_INTERVAL", 0.001)
    monkeypatch.setattr(lifecycle, "time", SimpleNamespace(monotonic=lambda: 0.4 * next(ticks)))
    return process


async def watch(process: FakeProcess, tmp_path: Path) -> None:
    spec = ModelSpec(id="m", engine="command", start_silence=1)
    worker = Worker("m", 1, spec, Placement(), 0, 60)
    await lifecycle_of(SlowLauncher(), tmp_path)._watch_progress(
        worker, process, asyncio.ensure_future(process.ready())
    )


async def test_a_silent_start_fails(process: Restarting, tmp_path: Path) -> None:
    process.checks_per_pid = 100
    with pytest.raises(LoadFailure, match="silent for 1 s"):
        await watch(process, tmp_path)


async def test_a_restarted_process_is_watched_from_its_own_start(process: Restarting, tmp_path: Path) -> None:
    await watch(process, tmp_path)
    assert process.checks == 6
