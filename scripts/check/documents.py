"""The docs: generated parts are current, what is named exists, every key of the configuration is described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contract.config import ModelSpec, Settings
from scripts.check.tables import ROOT, TABLES

_GENERATED = re.compile(r"(?s)(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)")
_CONFIGURATION = ROOT / "docs" / "configuration.md"


def documents() -> list[Path]:
    """Every text for people."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def written(text: str) -> str:
    """The text with its generated parts as they ought to be."""
    return _GENERATED.sub(lambda part: f"{part[1]}\n{TABLES[part[2]]()}\n\n{part[3]}", text)


def write() -> None:
    """Bring every document up to date."""
    for path in documents():
        path.write_text(written(path.read_text()))


def problems() -> Iterable[str]:
    """What is wrong, a line each."""
    for path in documents():
        name, text = path.relative_to(ROOT), path.read_text()
        if written(text) != text:
            yield f"{name}: its generated tables are not current; `make format` writes them"
        yield from (f"{name}: {missing} does not exist" for missing in _missing(path, text))
    yield from _undescribed(_CONFIGURATION.read_text())


def _missing(path: Path, text: str) -> Iterable[str]:
    """Files that are linked, and tests that are named, but are not there."""
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        if not (path.parent / target).exists():
            yield target
    for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        if not (ROOT / file).exists():
            yield file
        elif test and not re.search(rf"(?m)^\s*(async )?(def|class) {test}\b", (ROOT / file).read_text()):
            yield f"{file}::{test}"
    for folder in re.findall(r"`((?:contract|gateway|manager|workers|scripts|deploy|docs)/[\w/.-]*)`", text):
        if not (ROOT / folder).exists():
            yield folder


def _undescribed(text: str) -> Iterable[str]:
    """Keys, with their defaults, that the page of the configuration tells otherwise than the code."""
    kinds = {name: field.annotation for name, field in Settings.model_fields.items()} | {"models": ModelSpec}
    for name, model in kinds.items():
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        told = _told(text, name)
        for key, field in model.model_fields.items():
            expected = "required" if field.is_required() else f"`{_plain(field.default)}`"
            if told.get(key) != expected:
                yield f"docs/configuration.md: {name}.{key} is {expected}, told is {told.get(key, 'nothing')}"
        yield from (
            f"docs/configuration.md: there is no {name}.{key}" for key in told.keys() - model.model_fields.keys()
        )


def _told(text: str, section: str) -> dict[str, str]:
    """The first two columns of the table under the heading of a section."""
    under = re.search(rf"(?ms)^## {section}\b.*?(?=^## |\Z)", text)
    return dict(re.findall(r"(?m)^\| `(\w+)` \| (\S+) \|", under[0])) if under else {}


def _plain(value: Any) -> str:
    return json.dumps(value, default=str)
