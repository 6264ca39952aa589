"""A change of the configuration file is noticed once, unless whoever made it has read it already."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from contract.config_watch import ConfigurationFile, Stamp
from tests.support.spawning import eventually


class LateLook(ConfigurationFile):
    """The file is changed and read by ourselves before its first look, in a thread, is known."""

    looks = -1  # the constructor looks once

    def _stamp(self) -> Stamp:
        stamp = super()._stamp()
        self.looks += 1
        if self.looks == 1:
            self.path.write_text("models: []\n# ours\n")
            self.note_read()
        return stamp


async def test_own_change_during_a_look_is_not_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINEHOUSE_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text("models: []\n")
    file = LateLook()
    changed = asyncio.create_task(file.changed(lambda: 0.001))
    await eventually("it has looked again and again", lambda: file.looks > 20)
    assert not changed.done()
    file.path.write_text("models: []\n# another's\n")
    await changed
