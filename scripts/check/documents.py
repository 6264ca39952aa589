"""The docs: their generated parts are current, and docs/configuration.md has every key with its default."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from contract.config import ModelSpec, Settings
from scripts.check import sources
from scripts.check.tables import TABLES

_GENERATED = re.compile(r"(?s)(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)")
CONFIGURATION = sources.ROOT / "docs" / "configuration.md"


def with_tables(text: str) -> str:
    """The text with its generated parts brought up to date."""
    return _GENERATED.sub(lambda part: f"{part[1]}\n{TABLES[part[2]]()}\n\n{part[3]}", text)


def write() -> None:
    """Bring all pages up to date."""
    for path in sources.pages():
        path.write_text(with_tables(path.read_text()))


def problems() -> Iterable[str]:
    """One line for each problem."""
    for path in sources.pages():
        if with_tables(path.read_text()) != path.read_text():
            yield f"{path.relative_to(sources.ROOT)}: its generated tables are out of date; `make format` writes them"
    yield from wrong_keys(CONFIGURATION.read_text())


def wrong_keys(page: str) -> Iterable[str]:
    """Keys of the configuration that its page omits, invents, or gives another default."""
    sections = {name: field.annotation for name, field in Settings.model_fields.items()} | {"models": ModelSpec}
    for name, model in sections.items():
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        defaults = _documented_defaults(page, name)
        for key, field in model.model_fields.items():
            expected = "required" if field.is_required() else f"`{_json(field.default)}`"
            if defaults.get(key) != expected:
                documented = defaults.get(key, "nothing")
                yield f"docs/configuration.md: the default of {name}.{key} is {expected}, the page says {documented}"
        for key in defaults.keys() - model.model_fields.keys():
            yield f"docs/configuration.md: {name}.{key} does not exist"


def _documented_defaults(page: str, section: str) -> dict[str, str]:
    """The first two columns of the table in a section."""
    text = re.search(rf"(?ms)^## {section}\b.*?(?=^## |\Z)", page)
    return dict(re.findall(r"(?m)^\| `(\w+)` \| (\S+) \|", text[0])) if text else {}


def _json(value: Any) -> str:
    return json.dumps(value, default=str)
