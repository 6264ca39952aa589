"""A worker that is told to go before it is born is ended after its birth, not forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from contract.config import Memory, ModelSpec
from manager.gauge import Gauge
from manager.launchers import Placement
from manager.life import Life
from manager.worker import Worker
from tests.manager.virtual import FakeMeter, FakeProcess


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
    gauge = Gauge.over(FakeMeter({"cpu": 1 << 30}, {}), Memory(), tmp_path)
    life = Life(lambda _: launcher, gauge)
    worker = Worker("m", 1, ModelSpec(id="m", engine="fake"), Placement(), 0, 60)
    birth = asyncio.create_task(life.bring_up(worker, lambda _: None))
    end = asyncio.create_task(life.take_down(worker))
    await asyncio.sleep(0)
    assert not end.done()
    launcher.go.set()
    await asyncio.gather(birth, end)
    assert launcher.stopped.is_set()
