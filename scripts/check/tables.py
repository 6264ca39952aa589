"""The parts of the docs that are generated from the code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic.fields import FieldInfo

from contract import catalogue
from contract.catalogue import KnownModel
from contract.config import ENVIRONMENT
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import all_tasks
from gateway.dialects import all_dialects
from scripts.check import field_tables, image_tables, sources
from scripts.check.allowed_values import allowed_values
from workers import describe, engine, registry

_ELSEWHERE = {
    "ENGINEHOUSE_CONFIG": "path of the configuration file (default: `config.yaml` in the working directory)",
    "ENGINEHOUSE_HOME": "folder for state and logs (default: `data`)",
    "API_KEYS": "more keys, separated by commas, in addition to `security.api_keys`",
    "LOG_LEVEL": "the level of all logs: `debug`, `info` (default), `warning` or `error`",
    "HF_HOME": "folder of downloaded models",
    "HF_TOKEN": "token for gated models of the Hugging Face hub",
}


def tasks() -> str:
    """Every task with its path, its engines and the model families of the catalogue."""
    engines = describe.engines()
    rows = []
    for task in all_tasks().values():
        serving = [f"`{name}`" for name, offer in engines.items() if task.name in offer["tasks"]]
        models = _families(model for model in catalogue.load() if task.name in model.tasks)
        rows.append((task.name, f"`POST {task.path}`", "yes" if task.chunk else "", ", ".join(serving), models))
    return _table(("Task", "Path", "Streams", "Engines", "Models"), rows)


def engines() -> str:
    """Every engine with its tasks, its devices and the model families of the catalogue."""
    rows = []
    for name, offer in describe.engines().items():
        models = _families(model for model in catalogue.load() if name in {spec.engine for spec in model.specs})
        rows.append((f"`{name}`", _cell(offer["doc"]), ", ".join(offer["tasks"]), ", ".join(offer["devices"]), models))
    return _table(("Engine", "What it is", "Tasks", "Devices", "Models"), rows)


def models() -> str:
    """The catalogue, one row for each model."""
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
    return _table(header, [_catalogue_row(model) for model in catalogue.load()])


def options() -> str:
    """The keys of an entry's `options`, by engine."""
    own = (_options_of(name, registry.find_engine(name).Options) for name in describe.engines())
    return "\n\n".join([_options_of("every engine", engine.Options), *own])


def environment() -> str:
    """The environment variables, and the key that each overrides."""
    ours = [(f"`{name}`", f"`{section}.{key}`") for name, (section, key) in ENVIRONMENT.items()]
    return _table(("Variable", "Sets"), [*ours, *((f"`{name}`", text) for name, text in _ELSEWHERE.items())])


def targets() -> str:
    """The targets of the Makefile with their help texts."""
    documented = re.findall(r"(?m)^([a-z0-9-]+):.*?##\s*(.+)$", (sources.ROOT / "Makefile").read_text())
    return _table(("Command", "What it does"), [(f"`make {name}`", _cell(text)) for name, text in documented])


def dialects() -> str:
    """Every path of every dialect, with the task that answers it and an example."""
    rows = []
    for dialect in all_dialects().values():
        for route in dialect.routes:
            tasks = ", ".join(task.name for task in route.tasks)
            rows.append((dialect.title, f"`POST {route.path}`", tasks, _cell(f"`{_shortened(route.example)}`")))
        for control in dialect.controls:
            example = f"`{_shortened(control.example)}`" if control.example else ""
            rows.append((dialect.title, f"`{control.method} {control.path}`", "", example))
    return _table(("API", "Path", "Task", "Example"), rows)


def _shortened(example: Mapping[str, Any]) -> str:
    """An example as JSON, with its images left out."""
    text = json.dumps(example, ensure_ascii=False)
    return text.replace(SAMPLE_IMAGE, "…")


TABLES: dict[str, Callable[[], str]] = {
    "tasks": tasks,
    "engines": engines,
    "models": models,
    "options": options,
    "environment": environment,
    "targets": targets,
    "dialects": dialects,
    "chatfields": lambda: _table(field_tables.HEADER, field_tables.chat()),
    "completionfields": lambda: _table(field_tables.HEADER, field_tables.completions()),
    "rerankfields": lambda: _table(field_tables.HEADER, field_tables.rerank()),
    "imagefields": lambda: _table(field_tables.HEADER, field_tables.images()),
    "imagefiles": lambda: _table(("File", "What happens"), image_tables.files()),
    "imagetexts": lambda: _table(("Sent as", "Example"), image_tables.texts()),
    "imageparts": lambda: _table(("As in", "Part of a message"), image_tables.parts()),
}


def _catalogue_row(model: KnownModel) -> Sequence[str]:
    name = model.name + (f"; vectors of {model.dimensions}" if model.dimensions else "")
    memory = [model.memory_gb.get(precision) for precision in catalogue.BITS]
    apple = model.apple and f"{model.apple.memory_gb:g}, {model.apple.precision}"
    return (
        f"`{model.id}`",
        _cell(name),
        ", ".join(model.tasks),
        f"`{model.engine}`",
        _cell(model.licence) + ("; gated" if model.gated else ""),
        f"{model.size_mb / 1000:.1f} GB" if model.size_mb >= 1000 else f"{model.size_mb} MB",
        *(f"{gib:g}" if gib else "" for gib in memory),
        apple or "",
    )


def _families(models: Iterable[KnownModel]) -> str:
    return ", ".join(dict.fromkeys(model.family for model in models))


def _options_of(name: str, model: type[engine.Options]) -> str:
    common = () if model is engine.Options else engine.Options.model_fields
    bases = [base for base in model.__mro__ if issubclass(base, engine.Options) and base is not engine.Options] or [
        model
    ]
    text = " ".join(" ".join((base.__doc__ or "").split()) for base in bases)
    allowed = allowed_values(model)
    keys = [(key, field) for key, field in model.model_fields.items() if key not in common]
    rows = [(f"`{key}`", _default(field), allowed[key]) for key, field in keys]
    return "\n\n".join(filter(None, (f"**{name}**", text, _table(("Option", "Default", "Values"), rows))))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return f"`{json.dumps(sorted(default) if isinstance(default, set | frozenset) else default)}`"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
