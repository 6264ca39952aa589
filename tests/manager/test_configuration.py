"""The configuration file is followed: a saved edit takes effect, and a wrong one leaves the last valid one in force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from contract import config
from contract.config import ConfigError, Settings
from contract.yaml_lists import ListPath, with_entry
from manager.configuration import Configuration
from manager.events import EventLog
from manager.models.configured import ConfiguredModels
from tests.support.spawning import eventually


@dataclass
class Followed:
    """A configuration that is followed closely, and what has been applied of it."""

    path: Path
    events: EventLog = field(default_factory=EventLog)
    applied: list[list[str]] = field(default_factory=list)
    configuration: Configuration = field(init=False)

    def __post_init__(self) -> None:
        self.save("a")
        self.configuration = Configuration(config.load(), self._describe, self._apply, self.events)

    async def _describe(self, settings: Settings) -> ConfiguredModels:
        return ConfiguredModels(settings, {})

    def _apply(self, models: ConfiguredModels) -> list[str]:
        self.applied.append([spec.id for spec in models.settings.models])
        return self.applied[-1]

    def save(self, *ids: str, **sections: object) -> None:
        """Write the file as editors do: another file takes its name."""
        new = self.path.with_suffix(".new")
        new.write_text(yaml.safe_dump({**sections, "models": [{"id": id_, "engine": "fake"} for id_ in ids]}))
        new.replace(self.path)

    def reasons(self) -> list[str]:
        return [event.reason or "" for event in self.events._history if event.type == "configuration"]


@pytest.fixture
async def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Followed]:
    monkeypatch.setenv("ENGINEHOUSE_CONFIG", str(tmp_path / "config.yaml"))
    it = Followed(tmp_path / "config.yaml")
    watching = asyncio.create_task(it.configuration.watch(lambda: 0.02))
    yield it
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await it.configuration.close()


async def test_saved_edit_takes_effect(followed: Followed) -> None:
    followed.save("a", "b")
    await eventually("it is applied", lambda: followed.applied == [["a", "b"]])
    (followed.path.parent / ".env").write_text("IDLE_TIMEOUT=7\n")
    await eventually("so is the file beside it", lambda: len(followed.applied) == 2)


async def test_300_saves_make_one_reload(followed: Followed) -> None:
    for number in range(300):
        followed.save(f"m{number}")
    await eventually("the last one is applied", lambda: ["m299"] in followed.applied)
    assert followed.applied == [["m299"]]


async def test_wrong_edit_leaves_the_last_valid_one_in_force(followed: Followed) -> None:
    followed.save("a", gateway={"prot": 1})
    await eventually("the error is known", lambda: followed.configuration.status().error)
    assert "did you mean `port`" in (followed.configuration.status().error or "")
    assert followed.applied == []
    assert "did you mean `port`" in followed.reasons()[-1]
    followed.save("c")
    await eventually("it is valid again", lambda: followed.applied == [["c"]])
    assert (followed.configuration.status().error, followed.reasons()[-1]) == (
        None,
        "the file is valid again, and in force",
    )


async def test_file_that_vanishes_does_not_end_the_models(followed: Followed) -> None:
    content = followed.path.read_text()
    followed.path.unlink()
    await eventually("the error is known", lambda: followed.configuration.status().error)
    assert "is gone" in (followed.configuration.status().error or "")
    assert followed.applied == []
    followed.path.write_text(content)
    await eventually("it is back", lambda: followed.applied == [["a"]])


async def test_own_change_is_applied_once(followed: Followed) -> None:
    path = ListPath(("models",), "id")
    await followed.configuration.change(lambda text: with_entry(text, path, {"id": "b", "engine": "fake"}))
    assert followed.applied == [["a", "b"]]
    followed.save("d")
    await eventually("the edit is applied", lambda: ["d"] in followed.applied)
    assert followed.applied == [["a", "b"], ["d"]]


async def test_invalid_change_changes_nothing(followed: Followed) -> None:
    before = followed.path.read_text()
    with pytest.raises(ConfigError, match="unknown key"):
        await followed.configuration.change(lambda text: text + "more: 1\n")
    assert (followed.path.read_text(), followed.applied, followed.configuration.status().error) == (before, [], None)


async def test_keys_that_need_a_restart_are_named(followed: Followed) -> None:
    keys = {
        "gateway": {"max_body_mb": 3, "hosts": ["h"]},
        "responses": {"keep": 1},
        "security": {"allow_localhost": True},
    }
    followed.save("a", **keys, resources={"shutdown_timeout": 1, "max_wait": 1})
    await eventually("it is applied", lambda: followed.applied)
    waiting = ["gateway.max_body_mb", "responses.keep", "resources.shutdown_timeout"]
    assert followed.configuration.status().needs_restart == waiting
    assert followed.reasons() == [f"takes effect with the next start: {', '.join(waiting)}"]
    followed.save("a")
    await eventually("it is taken back", lambda: followed.configuration.status().needs_restart == [])
