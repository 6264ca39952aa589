"""From the configuration to models: asks each entry's engine, once, what it can do and whether the entry is valid."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import psutil

from contract.config import ConfigError, ModelSpec, Settings
from manager import process_tree
from manager.models.downloads import missing_path
from manager.models.folders import entries_of
from manager.models.local_facts import facts_of
from manager.models.model_files import ModelFile, file_of
from manager.state.model import Capabilities, Model

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConfiguredModels:
    """Every configured model, by its id."""

    settings: Settings
    models: dict[str, Model]

    def imports_of(self, engine: str) -> tuple[str, ...]:
        """The modules that a standby for this engine imports."""
        return next((m.capabilities.imports for m in self.models.values() if m.spec.engine == engine), ())

    def find(self, name: str) -> Model | None:
        """A model by its id, or by one of its aliases or presets."""
        if name in self.models:
            return self.models[name]
        return next(
            (model for model in self.models.values() if name in (*model.spec.aliases, *model.spec.presets)), None
        )


async def describe(settings: Settings, files: Mapping[str, ModelFile] = MappingProxyType({})) -> ConfiguredModels:
    """Describe every entry, and every file of the model folders. Raises ConfigError naming each invalid entry."""
    check_margin(settings)
    scanned = entries_of(files, {name for spec in settings.models for name in (spec.id, *spec.aliases, *spec.presets)})
    entries = await _run_describe([*settings.models, *scanned])
    if invalid := [f"model {spec.id}: {error}" for spec in settings.models if (error := entries[spec.id]["error"])]:
        raise ConfigError("; ".join(invalid))
    for spec in scanned:
        if error := entries[spec.id]["error"]:
            log.warning("%s cannot be a model: %s", spec.source, error)
    valid = [*settings.models, *(spec for spec in scanned if not entries[spec.id]["error"])]
    models = {spec.id: Model(spec, _capabilities(entries[spec.id])) for spec in valid}
    await asyncio.to_thread(read_facts, models.values(), {spec.id: files[spec.id] for spec in scanned})
    for spec in settings.models:
        if missing := set(spec.default) - set(models[spec.id].capabilities.tasks):
            raise ConfigError(f"model {spec.id}: it is the default for {min(missing)!r} but does not do that task")
    return ConfiguredModels(settings, models)


def check_margin(settings: Settings) -> None:
    """Raise ConfigError for a safety margin that leaves no memory for models."""
    margin, total = settings.memory.safety_margin_gb, psutil.virtual_memory().total / 2**30
    if margin >= total:
        raise ConfigError(
            f"`memory.safety_margin_gb` is {margin:g} GiB, and this machine has {total:.1f} GiB of memory, so that no "
            "model would ever fit. Write how much other programs need, such as 2."
        )


def read_facts(models: Iterable[Model], scanned: Mapping[str, ModelFile] = MappingProxyType({})) -> None:
    """Note what the models' files say of them. Reads the disk."""
    for model in models:
        if model.capabilities.needs_source and (problem := missing_path(model.spec)):
            log.warning("model %s: %s", model.id, problem)
        model.facts = facts_of(model.spec)
        file = scanned.get(model.id) or file_of(model.spec)
        model.file, model.scanned = file.status if file else None, model.scanned or model.id in scanned


def _capabilities(entry: dict[str, Any]) -> Capabilities:
    lists = {name: tuple(entry[name]) for name in ("tasks", "features", "imports", "devices")}
    return Capabilities(**lists, early_standby=entry["early_standby"], needs_source=entry["needs_source"])


async def _run_describe(specs: Sequence[ModelSpec]) -> dict[str, Any]:
    """Run `workers.describe` in a process of its own, since the manager never imports engines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.describe",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, process_tree.MARK: "describe"},  # it is no orphan of a worker
    )  # fmt: skip
    entries = json.dumps([spec.model_dump(mode="json") for spec in specs])
    try:
        out, err = await process.communicate(entries.encode())
    except asyncio.CancelledError:  # the manager stops
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ConfigError(f"the engines could not be described: {err.decode(errors='replace').strip()[-2000:]}")
    description: dict[str, Any] = json.loads(out)
    return description
