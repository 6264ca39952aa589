"""Births where the state folder cannot be written: nothing may live on of which nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from manager.processes.launchers.logs import Logs
from tests.support.spawning import Births, eventually


@pytest.fixture
async def births(tmp_path: Path) -> AsyncIterator[Births]:
    births = Births(tmp_path)
    yield births
    await births.local.close()


def children() -> set[int]:
    """Our own living children."""
    return {child.pid for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE}


async def test_who_cannot_be_written_down_is_born_all_the_same(births: Births) -> None:
    (births.home / "manager" / "children.new").mkdir()  # what is written there fails
    worker = await births.worker()
    await worker.ready()
    assert births.known() == {}
    await worker.stop(5)
    assert worker.pid not in children()


async def test_who_cannot_be_given_its_model_is_ended(births: Births, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Logs, "hand_over", full)
    before = children()
    with pytest.raises(OSError, match="No space"):
        await births.worker()
    await eventually("no child is left", lambda: children() <= before)
    monkeypatch.undo()
    worker = await births.worker()
    await worker.ready()
    await worker.stop(5)
