"""From the configuration to models: asks the engines, once, what each entry can do and whether it is written right."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

from contract.config import ConfigError, ModelSpec, Settings
from manager.state.model import EngineOffer, Model


@dataclass(frozen=True, slots=True)
class ConfiguredModels:
    """Every configured model, by its id."""

    settings: Settings
    models: dict[str, Model]

    def imports_of(self, engine: str) -> tuple[str, ...]:
        """What a standby for an engine imports."""
        return next((m.offer.imports for m in self.models.values() if m.spec.engine == engine), ())

    def named(self, name: str) -> Model | None:
        """A model by its id or one of its aliases."""
        if name in self.models:
            return self.models[name]
        return next((model for model in self.models.values() if name in model.spec.aliases), None)


async def build(settings: Settings) -> ConfiguredModels:
    """Describe every entry. Raises ConfigError that names each wrong one."""
    described = await _describe(settings.models)
    entries = described["entries"]
    if wrong := [f"model {id_}: {entry['error']}" for id_, entry in entries.items() if entry["error"]]:
        raise ConfigError("; ".join(wrong))
    models = {spec.id: Model(spec, _offer(entries[spec.id])) for spec in settings.models}
    for spec in settings.models:
        if missing := set(spec.default) - set(models[spec.id].offer.tasks):
            raise ConfigError(f"model {spec.id}: it is the default for {min(missing)!r} but does not do that task")
    return ConfiguredModels(settings, models)


def _offer(entry: dict[str, Any]) -> EngineOffer:
    return EngineOffer(**{name: tuple(entry[name]) for name in ("tasks", "features", "imports", "devices")})


async def _describe(specs: tuple[ModelSpec, ...]) -> dict[str, Any]:
    """Run `workers.describe`: engines are the workers' business, and must not be imported here."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers.describe",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    entries = json.dumps([spec.model_dump(mode="json") for spec in specs])
    out, err = await process.communicate(entries.encode())
    if process.returncode:
        raise ConfigError(f"the engines could not be described: {err.decode(errors='replace').strip()[-2000:]}")
    described: dict[str, Any] = json.loads(out)
    return described
