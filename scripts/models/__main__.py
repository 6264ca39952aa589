"""`python -m scripts.models [NAME]` lists the catalogue, the models of the task NAME, or one model's details.

No server needs to run: this reads the configuration and the download folder itself.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from contract import catalogue
from contract.catalogue import KnownModel
from contract.tasks import all_tasks
from manager.models import downloads
from scripts.control.errors import ControlError
from scripts.control.installation import Installation
from scripts.control.status_report import table

_HEADER = ("ID", "TASKS", "ENGINE", "SIZE", "MEMORY", "LICENCE", "DOWNLOADED", "CONFIGURED AS")


def listing(models: Iterable[KnownModel], installation: Installation) -> Iterable[str]:
    """A table of models. Memory is the least in 16 bits, or in 32 bits if the model has no 16."""
    names, downloaded = _configured(installation), downloads.of_catalogue(installation.environ)
    rows = [
        (
            model.id,
            ", ".join(model.tasks),
            model.engine,
            _size(model.size_mb),
            f"{model.memory_gb.get('bfloat16') or model.memory_gb['float32']} GiB",
            model.licence + (", gated" if model.gated else ""),
            "yes" if downloaded[model.id] else "",
            ", ".join(names.get(model.id, ())),
        )
        for model in models
    ]
    yield from table(_HEADER, rows)
    yield ""
    yield "MEMORY is the minimum in 16 bits. `make models MODEL=ID` shows details and the entry for config.yaml."


def details(model: KnownModel, installation: Installation) -> Iterable[str]:
    """All facts about one model, and the entries that run it, the best for this machine first."""
    yield from (f"{name:<12} {value}" for name, value in _facts(model, installation).items() if value)
    entries = [("Any machine", model.entry)]
    if model.apple:
        entries.append((f"Apple silicon ({_size(model.apple.size_mb)})", model.apple.entry))
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        entries.reverse()
    for machine, entry in entries:
        yield ""
        yield f"# {machine}; add it under `models:` in config.yaml, then `make reload`"
        yield _yaml(entry)


def _yaml(entry: dict[str, Any]) -> str:
    """An entry as YAML, one line for each key."""
    lines = (
        yaml.safe_dump({key: value}, default_flow_style=True, sort_keys=False, width=1000).strip()[1:-1]
        for key, value in entry.items()
    )
    return "- " + "\n  ".join(lines)


def _facts(model: KnownModel, installation: Installation) -> dict[str, Any]:
    terms = f", gated: accept the terms of {model.hub} on the Hugging Face hub and set HF_TOKEN" if model.gated else ""
    return {
        "id": model.id,
        "name": f"{model.name}, by {model.team}",
        "hub": model.hub,
        "tasks": ", ".join(model.tasks),
        "engine": model.engine,
        "licence": model.licence + terms,
        "parameters": f"{model.parameters:g} million",
        "download": _size(model.size_mb)
        + (", already downloaded" if downloads.of_catalogue(installation.environ)[model.id] else ""),
        "memory": ", ".join(f"{gib} GiB in {precision}" for precision, gib in model.memory_gb.items()),
        "dimensions": model.dimensions,
        "note": model.note,
        "configured": ", ".join(_configured(installation).get(model.id, ())),
    }


def _configured(installation: Installation) -> dict[str, list[str]]:
    """Ids of the configured models by the id of their model in the catalogue."""
    names: dict[str, list[str]] = {}
    for spec in installation.settings.models:
        if known := catalogue.load().identify(spec.engine, spec.source):
            consent = " (needs trust_remote_code)" if catalogue.missing_consent(spec) else ""
            names.setdefault(known.id, []).append(spec.id + consent)
    return names


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def _lines(name: str | None, installation: Installation) -> Iterable[str]:
    known = catalogue.load()
    if name is None:
        return listing(known, installation)
    if name in all_tasks():
        return listing((model for model in known if name in model.tasks), installation)
    if model := known.find(name):
        return details(model, installation)
    similar = catalogue.nearest(name, [*all_tasks(), *(model.id for model in known)])
    guess = f" Did you mean {' or '.join(similar)}?" if similar else ""
    raise ControlError(f"The catalogue has no model or task {name!r}.{guess} `make models` lists all.")


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 1 after an error message."""
    try:
        print("\n".join(_lines(arguments[0] if arguments else None, Installation())))
    except ControlError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
