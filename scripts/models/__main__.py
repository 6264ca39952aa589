"""`python -m scripts.models [NAME]`: the models that the house knows; with a task's name, its models; else one model.

Works without a running house: it reads the configuration and looks into the folder of downloads itself.
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
from scripts.control.report import table
from scripts.control.site import Site
from scripts.control.trouble import Trouble

_HEADER = ("ID", "TASKS", "ENGINE", "DOWNLOAD", "MEMORY", "LICENCE", "HERE", "CONFIGURED AS")


def listing(models: Iterable[KnownModel], site: Site) -> Iterable[str]:
    """A line for each: its download, and the least memory in 16 bits (32 where there are no 16)."""
    names, here = _configured(site), downloads.of_catalogue(site.environ)
    rows = [
        (
            model.id,
            ", ".join(model.tasks),
            model.engine,
            _size(model.size_mb),
            f"{model.memory_gb.get('bfloat16') or model.memory_gb['float32']} GiB",
            model.licence + (", gated" if model.gated else ""),
            "yes" if here[model.id] else "",
            ", ".join(names.get(model.id, ())),
        )
        for model in models
    ]
    yield from table(_HEADER, rows)
    yield ""
    yield "MEMORY is the least in 16 bits. `make models MODEL=ID` shows more, and the entry to paste into config.yaml."


def details(model: KnownModel, site: Site) -> Iterable[str]:
    """Everything about one model, and the entries that run it, the one for this machine first."""
    yield from (f"{name:<12} {value}" for name, value in _facts(model, site).items() if value)
    forms = [("Anywhere", model.entry)]
    if model.apple:
        forms.append((f"On Apple silicon ({_size(model.apple.size_mb)})", model.apple.entry))
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        forms.reverse()
    for where, entry in forms:
        yield ""
        yield f"# {where}; under `models:` in config.yaml, then `make reload`"
        yield _written(entry)


def _written(entry: dict[str, Any]) -> str:
    """An entry as a person would write it: a line for each key."""
    lines = (
        yaml.safe_dump({key: value}, default_flow_style=True, sort_keys=False, width=1000).strip()[1:-1]
        for key, value in entry.items()
    )
    return "- " + "\n  ".join(lines)


def _facts(model: KnownModel, site: Site) -> dict[str, Any]:
    terms = f", gated: accept its terms at the hub ({model.hub}) and set HF_TOKEN" if model.gated else ""
    return {
        "id": model.id,
        "name": f"{model.name}, by {model.team}",
        "hub": model.hub,
        "tasks": ", ".join(model.tasks),
        "engine": model.engine,
        "licence": model.licence + terms,
        "parameters": f"{model.parameters:g} million",
        "download": _size(model.size_mb) + (", here already" if downloads.of_catalogue(site.environ)[model.id] else ""),
        "memory": ", ".join(f"{gib} GiB in {precision}" for precision, gib in model.memory_gb.items()),
        "dimensions": model.dimensions,
        "note": model.note,
        "configured": ", ".join(_configured(site).get(model.id, ())),
    }


def _configured(site: Site) -> dict[str, list[str]]:
    """Names of the configured models that are of the catalogue, by their ids there."""
    names: dict[str, list[str]] = {}
    for spec in site.settings.models:
        if known := catalogue.load().identify(spec.engine, spec.source):
            names.setdefault(known.id, []).append(spec.id)
    return names


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def _lines(name: str | None, site: Site) -> Iterable[str]:
    known = catalogue.load()
    if name is None:
        return listing(known, site)
    if name in all_tasks():
        return listing((model for model in known if name in model.tasks), site)
    if model := known.find(name):
        return details(model, site)
    near = catalogue.nearest(name, [*all_tasks(), *(model.id for model in known)])
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    raise Trouble(f"the catalogue has no model or task {name!r}.{guess} `make models` lists all.")


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 1 after a sentence that says what is wrong."""
    try:
        print("\n".join(_lines(arguments[0] if arguments else None, Site())))
    except Trouble as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
