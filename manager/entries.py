"""Adds entries to config.yaml and removes them, and removes the files of models."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from contract import catalogue
from contract.config import ConfigError, ModelSpec, explain
from contract.config.models import HOST_ONLY, HOST_ONLY_ENGINES, HOST_ONLY_OPTIONS
from contract.errors import BadRequest, InvalidField, ModelConflict, ModelNotFound
from contract.yaml_lists import ListPath, with_entry, without_entry
from manager.configuration import Configuration
from manager.models import model_removal
from manager.models.downloads import spec_of_hub
from manager.models.model_downloads import ModelDownloads
from manager.scheduling.pool import Pool
from manager.state.model import Model

_MODELS = ListPath(("models",), "id")


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed. `kept`: why files stay, in a sentence."""

    model: str
    entry: bool
    freed_bytes: int
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class ModelEntries:
    """The entries of one manager. `on_removed` is called after files were removed."""

    configuration: Configuration
    pool: Pool
    downloads: ModelDownloads
    on_removed: Callable[[str], None]

    async def add(self, order: Mapping[str, Any]) -> str:
        """Add an entry to config.yaml, and apply it. Returns its id. `order` is the entry.

        With `model`, the name of one of the catalogue, its entry is added, and the other fields replace parts of it.
        Raises InvalidField for what only the file itself may set, ModelConflict, and BadRequest if it is invalid.
        """
        entry = _entry_of(order)
        spec = _parsed(entry)
        check_allowed(spec)
        for name in (spec.id, *spec.aliases, *spec.presets):
            if other := self._find(name):
                raise ModelConflict(f"The name {name!r} belongs to {other.id} already.", param="id")
        try:
            await self.configuration.change(lambda text: with_entry(text, _MODELS, entry))
        except ConfigError as error:
            raise BadRequest(f"The model was not added: {error}") from None
        return spec.id

    async def remove(self, name: str, *, entry: bool, files: bool) -> Removed:
        """Remove a model's files, its entry, or both; `name` may be one of the catalogue, or of the hub.

        Raises ModelNotFound, ModelConflict, and InvalidField if there is nothing to remove.
        """
        model = self._find(name) or self._with_source(name)
        if model is None or name in model.spec.presets:
            return await self._remove_files_of(name, entry=entry)
        self._check_unused(model)
        folders = model_removal.folders_of([model.spec]) if files else []
        kept = model_removal.why_not(model.spec) if files else None
        if kept and not entry:
            raise InvalidField(f"{model.id} has no files that can be removed. {kept}", param="files")
        model_removal.check_not_shared(folders, self._specs(without=model.id))
        if entry:
            await self._remove_entry(model)
            model_removal.check_not_shared(folders, self._specs())  # of an entry that was added meanwhile
        return Removed(model.id, entry, await self._remove(model.id, folders), kept)

    async def _remove_files_of(self, name: str, *, entry: bool) -> Removed:
        """Remove the files of a model that has no entry."""
        known = catalogue.load().find(name)
        specs = known.specs if known else [spec for spec in [spec_of_hub(name)] if spec]
        folders = model_removal.folders_of(specs)
        if entry or not folders:
            raise ModelNotFound(f"{name[:200]!r} has no {'entry' if entry else 'files'} here. See GET /api/models.")
        model_removal.check_not_shared(folders, self._specs())
        return Removed(known.id if known else name, False, await self._remove(name, folders))

    async def _remove_entry(self, model: Model) -> None:
        def change(text: str) -> str:
            shorter = without_entry(text, _MODELS, model.id)
            if shorter is None:
                message = f"{model.id} has no entry in the file: it is the file {model.spec.source} in a model folder"
                raise ConfigError(message)
            return shorter

        try:
            await self.configuration.change(change)
        except ConfigError as error:
            raise BadRequest(f"The entry was not removed: {error}") from None

    async def _remove(self, name: str, folders: list[Any]) -> int:
        aside = model_removal.set_aside(folders)  # without an await since the checks, so that no start comes between
        if not aside:
            return 0
        freed = await asyncio.to_thread(model_removal.remove, aside)
        self.on_removed(name)
        return freed

    def _check_unused(self, model: Model) -> None:
        """Raise ModelConflict if the model has a worker, waiting requests or a running download."""
        download = self.downloads.of(model.spec)
        reasons = [f"worker {worker.name}" for worker in self.pool.supervisor.workers_of(model.id) if worker.live]
        reasons += ["requests that wait for it"] if self.pool.queue.count(model.id) else []
        reasons += [f"download {download.id}"] if download and download.running else []
        if reasons:
            message = f"{model.id} is in use: {', '.join(reasons)}. Evict it, or end its download, and try again."
            raise ModelConflict(message, details={"used_by": reasons})

    def _find(self, name: str) -> Model | None:
        models = self.pool.models
        return models.get(name) or next(
            (m for m in models.values() if name in (*m.spec.aliases, *m.spec.presets)), None
        )

    def _with_source(self, name: str) -> Model | None:
        return next((model for model in self.pool.models.values() if model.spec.source == name), None)

    def _specs(self, without: str | None = None) -> list[ModelSpec]:
        return [model.spec for model in self.pool.models.values() if model.id != without]


def catalogue_entry(name: str) -> dict[str, Any] | None:
    """The entry that runs a model of the catalogue on this machine; None if the catalogue does not have it."""
    known = catalogue.load().find(name)
    is_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return dict(known.entries[-1 if is_apple else 0]) if known else None


def _entry_of(order: Mapping[str, Any]) -> dict[str, Any]:
    if "model" not in order:
        return dict(order)
    entry = catalogue_entry(str(order["model"]))
    if entry is None:
        message = (
            f"{str(order['model'])[:200]!r} is not in the catalogue: send an entry, with `id`, `engine` and `source`."
        )
        raise InvalidField(message, param="model")
    return {**entry, **{key: value for key, value in order.items() if key != "model"}}


def _parsed(entry: Mapping[str, Any]) -> ModelSpec:
    """Raises InvalidField, with what to write instead."""
    try:
        return ModelSpec.model_validate(entry)
    except ValidationError as error:
        problems = error.errors()
        param = ".".join(map(str, problems[0]["loc"])) or None
        raise InvalidField("; ".join(explain(problem, ModelSpec) for problem in problems), param=param) from None


def check_allowed(spec: ModelSpec) -> None:
    """Raise InvalidField for an entry that runs programs or code of its author."""
    keys = sorted(HOST_ONLY & spec.model_fields_set)
    keys += ["engine"] if spec.engine in HOST_ONLY_ENGINES else []
    keys += [f"options.{name}" for name in sorted(HOST_ONLY_OPTIONS & spec.options.keys())]
    if keys:
        message = f"`{keys[0]}` = {_value(spec, keys[0])!r} lets an entry run programs or code of its own."
        raise InvalidField(f"{message} Write this entry into config.yaml itself.", param=keys[0])


def _value(spec: ModelSpec, key: str) -> Any:
    return spec.options[key.partition(".")[2]] if "." in key else getattr(spec, key)
