"""What the keys of a pydantic model allow, in words for a table: `0 or more`, `1 to 65535`, `auto`, `cpu` or `mlx`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from contract.config.errors import PATTERNS

_NAMES = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""Limits of values that a validator reads first have pydantic's own names in its schemas."""


def allowed_values(model: type[BaseModel]) -> dict[str, str]:
    """For each key, its range or its choices; an empty text if any value of its type will do."""
    return {key: _words(schema) for key, schema in model.model_json_schema()["properties"].items()}


def _words(schema: Mapping[str, Any]) -> str:
    choices = [words for choice in schema.get("anyOf", [schema]) for words in _of_one(choice)]
    return "" if all(words == "`null`" for words in choices) else _joined(choices)


def _of_one(schema: Mapping[str, Any]) -> list[str]:
    """The choices that a schema without alternatives leaves."""
    values = {"boolean": [True, False], "null": [None]}.get(str(schema.get("type")), [])
    if values := schema.get("enum", [schema["const"]] if "const" in schema else values):
        return [f"`{value if isinstance(value, str) else json.dumps(value)}`" for value in values]
    if pattern := schema.get("pattern"):
        return [PATTERNS[pattern].removeprefix("must be ")]
    return [words for words in (_range(schema), _length(schema)) if words]


def _range(schema: Mapping[str, Any]) -> str:
    limits = {_NAMES.get(name, name): value for name, value in schema.items()}
    least, most = limits.get("minimum"), limits.get("maximum")
    if least is not None and most is not None:
        return f"{least:g} to {most:g}"
    words = {
        "minimum": "{:g} or more",
        "exclusiveMinimum": "more than {:g}",
        "maximum": "at most {:g}",
        "exclusiveMaximum": "less than {:g}",
    }
    return ", ".join(words[name].format(limits[name]) for name in words if name in limits)


def _length(schema: Mapping[str, Any]) -> str:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    if longest is None:
        return "" if not shortest else "not empty" if shortest == 1 else f"{shortest} characters or more"
    return f"{shortest} to {longest} characters" if shortest else f"at most {longest} characters"


def _joined(choices: Sequence[str]) -> str:
    *others, last = choices
    comma = "" if all(words.startswith("`") for words in choices) else ","
    return f"{', '.join(others)}{comma} or {last}" if others else last
