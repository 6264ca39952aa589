"""The assembled manager: reloading the configuration, standbys, and the list of downloads."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from starlette.requests import Request

from contract import config
from contract.asgi.metrics import REGISTRY
from contract.config import ModelSpec, Settings
from manager.model_routes import ModelRoutes
from manager.models import configured
from manager.models.configured import ConfiguredModels
from manager.models.folders import ModelFolders
from manager.runtime import Runtime
from manager.state.model import Capabilities, Model
from tests.support.spawning import eventually, runs
from tests.support.virtual_clock import FakeMeter


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    """Each runtime registers its metrics for good, so those of earlier tests have to go."""
    before = set(REGISTRY._collector_to_names)
    yield
    for collector in set(REGISTRY._collector_to_names) - before:
        REGISTRY.unregister(collector)


def no_folders(folder: Path) -> ModelFolders:
    return ModelFolders(folder / "hashes.json", folder)


async def test_of_two_reloads_the_newer_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    monkeypatch.setenv("ENGINEHOUSE_CONFIG", str(path))
    described, go = asyncio.Event(), asyncio.Event()

    async def run_inline(function: Callable[[], Any]) -> Any:
        return function()

    def write(*ids: str) -> None:
        models = [{"id": id_, "engine": "fake"} for id_ in ids]
        path.write_text(yaml.safe_dump({"manager": {"standby": 0}, "models": models}))

    async def describe(settings: Settings, files: Any = ()) -> ConfiguredModels:
        if len(settings.models) == 2:  # describing the older file takes longer
            described.set()
            await go.wait()
        return ConfiguredModels(settings, {spec.id: Model(spec, Capabilities()) for spec in settings.models})

    monkeypatch.setattr(configured, "describe", describe)
    monkeypatch.setattr(asyncio, "to_thread", run_inline)
    write("a")
    runtime = Runtime(await describe(config.load()), tmp_path, FakeMeter({"cpu": 1 << 30}, {}), no_folders(tmp_path))
    write("a", "b")
    older = asyncio.create_task(runtime.reload())
    await described.wait()
    write("a", "b", "c")
    newer = asyncio.create_task(runtime.reload())
    for _ in range(10):  # enough to finish before the older one, if it did not wait for it
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(older, newer)
    assert sorted(runtime.pool.models) == ["a", "b", "c"]
    await runtime.close()


async def test_300_reloads_at_once_become_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that runs, and one for everything that has changed since it read the file."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"manager": {"standby": 0}, "models": [{"id": "a", "engine": "fake"}]}))
    monkeypatch.setenv("ENGINEHOUSE_CONFIG", str(path))
    described: list[Settings] = []
    go = asyncio.Event()

    async def describe(settings: Settings, files: Any = ()) -> ConfiguredModels:
        described.append(settings)
        await go.wait()
        return ConfiguredModels(settings, {spec.id: Model(spec, Capabilities()) for spec in settings.models})

    monkeypatch.setattr(configured, "describe", describe)
    runtime = Runtime(ConfiguredModels(Settings(), {}), tmp_path, FakeMeter({"cpu": 1 << 30}, {}), no_folders(tmp_path))
    first = asyncio.create_task(runtime.reload())
    await eventually("the first has read the file", lambda: described)
    for _ in range(300):
        runtime.reload_in_background()
    last = asyncio.create_task(runtime.reload())
    await asyncio.sleep(0)
    go.set()
    assert await first == ["a"]
    assert await last == []
    assert len(described) == 2
    await runtime.close()


async def test_stopping_manager_leaves_no_reload_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"manager": {"standby": 0}, "models": [{"id": "a", "engine": "fake"}]}))
    monkeypatch.setenv("ENGINEHOUSE_CONFIG", str(path))
    endless = tmp_path / "python"
    endless.write_text("#!/bin/sh\nexec sleep 3600\n")
    endless.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(endless))  # describes for longer than any test takes
    runtime = Runtime(ConfiguredModels(Settings(), {}), tmp_path, FakeMeter({"cpu": 1 << 30}, {}), no_folders(tmp_path))
    others = {process.pid for process in psutil.Process().children()}  # of earlier tests

    def describing() -> list[int]:
        pids = [process.pid for process in psutil.Process().children() if process.pid not in others]
        return [pid for pid in pids if runs(pid)]

    runtime.reload_in_background()
    await eventually("it describes the engines", describing)
    runtime.begin_shutdown()
    runtime.reload_in_background()
    await runtime.close()
    await eventually("no description is left", lambda: not describing())
    assert not runtime.pool.models


async def test_standbys_are_for_downloaded_or_requested_models(tmp_path: Path) -> None:
    """The first start of any other model waits for its download: a standby would only take memory."""

    def model(id_: str, source: str, *imports: str, early: bool = True) -> Model:
        spec = ModelSpec(id=id_, engine="fake", source=source)
        return Model(spec, Capabilities(imports=imports, early_standby=early, needs_source=False))

    listed = (
        model("requested", "org/requested", "csv"),
        model("cheap", "", "wave", early=False),
        model("installed", "", "json"),
        model("other", "org/other", "ast"),
    )
    models = {model.id: model for model in listed}
    settings = Settings(models=tuple(m.spec for m in models.values()))
    runtime = Runtime(
        ConfiguredModels(settings, models), tmp_path, FakeMeter({"cpu": 64 << 30}, {}), no_folders(tmp_path)
    )
    await runtime.start()
    assert await eventually("one has started", lambda: imports_of_started(runtime)) == [["json"]]
    async with runtime.pool.lease("requested"):
        pass
    await eventually("the requested one has one", lambda: imports_of_started(runtime) == [["json"], ["csv"]])
    assert [standby["imports"] for standby in runtime.standbys()] == [["json"], ["csv"]]
    await runtime.close()


def imports_of_started(runtime: Runtime) -> list[list[str]]:
    return [standby["imports"] for standby in runtime.standbys() if standby["born"]]


async def test_downloads_lists_configured_and_catalogue_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    specs = [ModelSpec(id="local", engine="fake"), ModelSpec(id="remote", engine="dino", source="facebook/dinov2-base")]
    models = {spec.id: Model(spec, Capabilities()) for spec in specs}
    runtime = Runtime(
        ConfiguredModels(Settings(models=tuple(specs)), models),
        tmp_path,
        FakeMeter({"cpu": 1 << 30}, {}),
        no_folders(tmp_path),
    )
    answer = json.loads(bytes((await ModelRoutes(runtime).overview(Request({"type": "http"}))).body))
    assert {id_: copy["downloaded"] for id_, copy in answer["models"].items()} == {"local": True, "remote": False}
    assert [answer["catalogue"][id_]["downloaded"] for id_ in ("minilm", "dinov2")] == [True, False]
    await runtime.close()
