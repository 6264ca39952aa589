"""The manager put together: a changed configuration, read and taken on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from starlette.requests import Request

from contract import config
from contract.asgi.metrics import REGISTRY
from contract.config import ModelSpec, Settings
from manager.app import ControlRoutes
from manager.models import configured as catalogs
from manager.models.configured import ConfiguredModels
from manager.runtime import Runtime
from manager.state.model import EngineOffer, Model
from tests.support.spawning import eventually
from tests.support.virtual_clock import FakeMeter


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """A house shows its metrics for as long as its process lives; here there are several."""
    before = set(REGISTRY._collector_to_names)
    yield
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


async def test_of_two_reloads_the_newer_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("ENGINEHOUSE_CONFIG", str(path))
    described, go = asyncio.Event(), asyncio.Event()

    def write(*ids: str) -> None:
        path.write_text(yaml.safe_dump({"models": [{"id": id_, "engine": "fake"} for id_ in ids]}))

    async def build(settings: Settings) -> ConfiguredModels:
        if len(settings.models) == 2:  # describing the older file takes longer
            described.set()
            await go.wait()
        return ConfiguredModels(settings, {spec.id: Model(spec, EngineOffer()) for spec in settings.models})

    monkeypatch.setattr(catalogs, "build", build)
    write("a")
    house = Runtime(await build(config.load()), tmp_path, FakeMeter({"cpu": 1 << 30}, {}))
    house.pool.calm = house._keep_standbys = lambda: None  # type: ignore[method-assign]
    write("a", "b")
    older = asyncio.create_task(house.reload())
    await described.wait()
    write("a", "b", "c")
    newer = asyncio.create_task(house.reload())
    await asyncio.wait({newer}, timeout=0.2)
    go.set()
    await asyncio.gather(older, newer)
    assert sorted(house.pool.models) == ["a", "b", "c"]
    await house.close()


async def test_standbys_are_kept_for_what_is_here_and_for_what_was_asked_for(tmp_path: Path) -> None:
    """Other models' first start waits for a download: a process that waits with it would only take memory."""

    def model(source: str, *imports: str) -> Model:
        return Model(
            ModelSpec(id=source or "here", engine="fake", source=source), EngineOffer(("chat",), imports=imports)
        )

    models = {m.id: m for m in (model("org/far", "csv"), model("", "json"), model("org/farther", "wave"))}
    settings = Settings(models=tuple(m.spec for m in models.values()))
    house = Runtime(ConfiguredModels(settings, models), tmp_path, FakeMeter({"cpu": 64 << 30}, {}))
    await house.start()
    assert await eventually("one is born", lambda: imports_of_born(house)) == [["json"]]
    async with house.pool.lease("org/far"):
        pass
    await eventually("its engine has one as well", lambda: imports_of_born(house) == [["json"], ["csv"]])
    assert [standby["imports"] for standby in house.standbys()] == [["json"], ["csv"]]
    await house.close()


def imports_of_born(house: Runtime) -> list[list[str]]:
    return [standby["imports"] for standby in house.standbys() if standby["born"]]


async def test_it_tells_what_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    specs = [ModelSpec(id="here", engine="fake"), ModelSpec(id="far", engine="dino", source="facebook/dinov2-base")]
    models = {spec.id: Model(spec, EngineOffer()) for spec in specs}
    house = Runtime(ConfiguredModels(Settings(models=tuple(specs)), models), tmp_path, FakeMeter({"cpu": 1 << 30}, {}))
    told = json.loads(bytes((await ControlRoutes(house, 0.0).downloads(Request({"type": "http"}))).body))
    assert told["models"] == {"here": True, "far": False}
    assert (told["catalogue"]["minilm"], told["catalogue"]["dinov2"]) == (True, False)
    await house.close()
