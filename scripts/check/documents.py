"""The docs: their generated parts are current, and docs/configuration.md has every key with its default."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial

from pydantic import BaseModel

from contract.config import ModelSpec, Settings
from contract.config.models import Preset
from scripts.check import sources
from scripts.check.allowed_values import allowed_values
from scripts.check.tables import TABLES

_GENERATED = re.compile(r"(?s)(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)")
_ROW = re.compile(r"(?m)^\| `(\w+)` \| (\S+) \| ([^|]*?) \|")
CONFIGURATION = sources.ROOT / "docs" / "configuration.md"


def with_tables(text: str) -> str:
    """The text with its generated parts brought up to date."""
    return _GENERATED.sub(lambda part: f"{part[1]}\n{TABLES[part[2]]()}\n\n{part[3]}", text)


def with_values(page: str) -> str:
    """docs/configuration.md with the default and the values of each key, as the code has them."""
    for name, model in _sections().items():
        if section := _section(page, name):
            page = page.replace(section, _ROW.sub(partial(_renewed, expected=_expected(model)), section))
    return page


def write() -> None:
    """Bring all pages up to date."""
    for path in sources.pages():
        path.write_text(with_tables(path.read_text()))
    CONFIGURATION.write_text(with_values(CONFIGURATION.read_text()))


def problems() -> Iterable[str]:
    """One line for each problem."""
    for path in sources.pages():
        if with_tables(path.read_text()) != path.read_text():
            yield f"{path.relative_to(sources.ROOT)}: its generated tables are out of date; `make format` writes them"
    yield from wrong_keys(CONFIGURATION.read_text())


def wrong_keys(page: str) -> Iterable[str]:
    """Keys of the configuration that its page omits, invents, or gives another default or other values."""
    for name, model in _sections().items():
        documented = {key: (default, values) for key, default, values in _ROW.findall(_section(page, name))}
        for key, (default, values) in _expected(model).items():
            shown = documented.get(key, ("nothing", values))
            if shown[0] != default:
                yield f"docs/configuration.md: the default of {name}.{key} is {default}, the page says {shown[0]}"
            if shown[1] != values:
                yield f"docs/configuration.md: the values of {name}.{key} are out of date; `make format` writes them"
        for key in documented.keys() - model.model_fields.keys():
            yield f"docs/configuration.md: {name}.{key} does not exist"


def _sections() -> dict[str, type[BaseModel]]:
    """The models whose keys have tables, by the headings of these."""
    sections = {name: field.annotation for name, field in Settings.model_fields.items()} | {"models": ModelSpec}
    return {**sections, "Presets": Preset}  # type: ignore[dict-item]


def _expected(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """The default and the values of each key."""
    values = allowed_values(model)
    fields = model.model_fields.items()
    return {
        key: ("required" if field.is_required() else f"`{json.dumps(field.default, default=str)}`", values[key])
        for key, field in fields
    }


def _section(page: str, name: str) -> str:
    text = re.search(rf"(?ms)^## {name}\b.*?(?=^## |\Z)", page)
    return text[0] if text else ""


def _renewed(row: re.Match[str], expected: Mapping[str, tuple[str, str]]) -> str:
    default, values = expected.get(row[1], (row[2], row[3]))
    return f"| `{row[1]}` | {default} | {values} |"
