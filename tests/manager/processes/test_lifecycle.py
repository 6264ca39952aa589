"""Births that take unusual ways: one that is told to go before it is born, one that is begun anew."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.config import MemorySettings, ModelSpec
from manager.memory.monitor import MemoryMonitor
from manager.processes.launchers import Placement
from manager.processes.lifecycle import Lifecycle
from manager.state.worker import Worker
from tests.support.virtual_clock import FakeMeter, FakeProcess


class SlowLauncher:
    """Gives birth when told, and remembers whether its child was stopped."""

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


async def test_an_end_waits_for_the_birth(tmp_path: Path) -> None:
    launcher = SlowLauncher()
    gauge = MemoryMonitor.over(FakeMeter({"cpu": 1 << 30}, {}), MemorySettings(), tmp_path)
    life = Lifecycle(lambda _: launcher, gauge)
    worker = Worker("m", 1, ModelSpec(id="m", engine="fake"), Placement(), 0, 60)
    birth = asyncio.create_task(life.bring_up(worker, lambda _: None))
    end = asyncio.create_task(life.take_down(worker))
    await asyncio.sleep(0)
    assert not end.done()
    launcher.go.set()
    await asyncio.gather(birth, end)
    assert launcher.stopped.is_set()


class Anew(FakeProcess):
    """Begun a second time as another process, which works hard for a while."""

    async def ready(self) -> None:
        busy = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
        self.pid = busy.pid
        try:
            await asyncio.sleep(1.5)  # longer than it may be silent
        finally:
            busy.kill()
            await busy.wait()


async def test_a_start_that_goes_on_as_another_process_is_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manager.processes.lifecycle.LOOK_EVERY", 0.1)
    life = Lifecycle(
        lambda _: SlowLauncher(), MemoryMonitor.over(FakeMeter({"cpu": 1 << 30}, {}), MemorySettings(), tmp_path)
    )
    spec = ModelSpec(id="m", engine="command", start_silence=1)
    process = Anew(pid=2**22 - 1, log_path=tmp_path / "none.log")
    await life._watch_progress(
        Worker("m", 1, spec, Placement(), 0, 60), process, asyncio.ensure_future(process.ready())
    )
