"""Starts with a state folder that cannot be written: no process may be left running unknown to the manager."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from manager.processes.launchers.logs import Logs
from tests.support.spawning import Launchers, eventually


@pytest.fixture
async def launchers(tmp_path: Path) -> AsyncIterator[Launchers]:
    launchers = Launchers(tmp_path)
    yield launchers
    await launchers.local.close()


def children() -> set[int]:
    """Pids of our own running child processes."""
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


async def test_a_worker_starts_though_it_cannot_be_recorded(launchers: Launchers) -> None:
    (launchers.home / "manager" / "children.new").mkdir()  # so that the file cannot be written
    worker = await launchers.start()
    await worker.ready()
    assert launchers.recorded() == {}
    await worker.stop(5)
    assert worker.pid not in children()


async def test_a_worker_without_its_assignment_is_ended(launchers: Launchers, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Logs, "assign", full)
    before = children()
    with pytest.raises(OSError, match="No space"):
        await launchers.start()
    await eventually("no child is left", lambda: children() <= before)
    monkeypatch.undo()
    worker = await launchers.start()
    await worker.ready()
    await worker.stop(5)
