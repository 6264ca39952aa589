"""The parts of the docs that are made from the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic.fields import FieldInfo

from contract import catalogue
from contract.catalogue import KnownModel
from contract.config import ENVIRONMENT
from contract.tasks import all_tasks
from workers import describe, engine, registry

ROOT = Path(__file__).parents[2]
_ELSEWHERE = {
    "ENGINEHOUSE_CONFIG": "path of the configuration file (default: `config.yaml` in the working directory)",
    "ENGINEHOUSE_HOME": "folder for state and logs (default: `data`)",
    "API_KEYS": "keys, separated by commas, beside `security.api_keys`",
    "HF_HOME": "folder of downloaded models",
    "HF_TOKEN": "key for models whose licence must be accepted on the hub",
}


def tasks() -> str:
    """Every task, where it is asked for, who does it, and the families of models in the catalogue."""
    engines = describe.engines()
    rows = []
    for task in all_tasks().values():
        serving = [f"`{name}`" for name, told in engines.items() if task.name in told["tasks"]]
        models = _families(model for model in catalogue.load() if task.name in model.tasks)
        rows.append((task.name, f"`POST {task.path}`", "yes" if task.chunk else "", ", ".join(serving), models))
    return _table(("Task", "Path", "Streams", "Engines", "Models"), rows)


def engines() -> str:
    """Every engine, what it is, where it runs, and the families of models in the catalogue that it runs."""
    rows = []
    for name, told in describe.engines().items():
        models = _families(model for model in catalogue.load() if name in {spec.engine for spec in model.specs})
        rows.append((f"`{name}`", _cell(told["doc"]), ", ".join(told["tasks"]), ", ".join(told["devices"]), models))
    return _table(("Engine", "What it is", "Tasks", "Devices", "Models"), rows)


def models() -> str:
    """The catalogue, a row for each model."""
    header = (
        "Model",
        "What it is",
        "Tasks",
        "Engine",
        "Licence",
        "Download",
        "32 bit",
        "16 bit",
        "8 bit",
        "4 bit",
        "Apple",
    )
    return _table(header, [_known(model) for model in catalogue.load()])


def options() -> str:
    """What may stand under `options` of an entry, by engine."""
    own = (_options_of(name, registry.find_engine(name).Options) for name in describe.engines())
    return "\n\n".join([_options_of("every engine", engine.Options), *own])


def environment() -> str:
    """The variables that are read, and what each replaces."""
    ours = [(f"`{name}`", f"`{section}.{key}`") for name, (section, key) in ENVIRONMENT.items()]
    return _table(("Variable", "Sets"), [*ours, *((f"`{name}`", text) for name, text in _ELSEWHERE.items())])


def targets() -> str:
    """What make does."""
    found = re.findall(r"(?m)^([a-z0-9-]+):.*?##\s*(.+)$", (ROOT / "Makefile").read_text())
    return _table(("Command", "What it does"), [(f"`make {name}`", _cell(text)) for name, text in found])


TABLES: dict[str, Callable[[], str]] = {
    "tasks": tasks,
    "engines": engines,
    "models": models,
    "options": options,
    "environment": environment,
    "targets": targets,
}


def _known(model: KnownModel) -> Sequence[str]:
    what = model.name + (f"; vectors of {model.dimensions}" if model.dimensions else "")
    memory = [model.memory_gb.get(precision) for precision in catalogue.BITS]
    apple = model.apple and f"{model.apple.memory_gb:g}, {model.apple.precision}"
    return (
        f"`{model.id}`",
        _cell(what),
        ", ".join(model.tasks),
        f"`{model.engine}`",
        _cell(model.licence) + ("; gated" if model.gated else ""),
        f"{model.size_mb / 1000:.1f} GB" if model.size_mb >= 1000 else f"{model.size_mb} MB",
        *(f"{gib:g}" if gib else "" for gib in memory),
        apple or "",
    )


def _families(models: Iterable[KnownModel]) -> str:
    return ", ".join(dict.fromkeys(model.family for model in models))


def _options_of(name: str, kind: type[engine.Options]) -> str:
    common = () if kind is engine.Options else engine.Options.model_fields
    kinds = [one for one in kind.__mro__ if issubclass(one, engine.Options) and one is not engine.Options] or [kind]
    said = " ".join(" ".join((one.__doc__ or "").split()) for one in kinds)
    rows = [(f"`{key}`", _value(field)) for key, field in kind.model_fields.items() if key not in common]
    return "\n\n".join(filter(None, (f"**{name}**", said, _table(("Option", "Default"), rows))))


def _value(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return f"`{json.dumps(sorted(default) if isinstance(default, set | frozenset) else default)}`"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
