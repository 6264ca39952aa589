"""Arguments that a model writes as plain text, without JSON's quotes: the tool's schema says what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_PYTHON_CONSTANTS = {"True": True, "False": False, "None": None}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip


def value_of(text: str, parameters: Mapping[str, Any], name: str) -> Any:
    """The argument `name` as its schema wants it: the text itself, or the JSON that is written in it."""
    properties = parameters.get("properties")
    schema = properties.get(name) if isinstance(properties, Mapping) else None
    types = _types_of(schema, parameters)
    if types == {"string"}:
        return text
    value = _parsed(text)
    if not types:
        return value
    fits = any(_is_of(value, kind) for kind in types)
    return value if fits or "string" not in types else text


def _parsed(text: str) -> Any:
    stripped = text.strip()
    if stripped in _PYTHON_CONSTANTS:
        return _PYTHON_CONSTANTS[stripped]
    try:
        return json.loads(stripped, strict=False, parse_constant=str)
    except ValueError:
        return text


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return kind != "string" and isinstance(value, _TYPES.get(kind, ()))


def _types_of(schema: Any, root: Mapping[str, Any], depth: int = 0) -> set[str]:
    """The JSON types that a schema allows; empty if it does not say."""
    if not isinstance(schema, Mapping) or depth > 8:
        return set()
    if isinstance(reference := schema.get("$ref"), str):
        return _types_of(_referenced(reference, root), root, depth + 1)
    declared = schema.get("type")
    types = {declared} if isinstance(declared, str) else set(declared or ())
    for union in ("anyOf", "oneOf", "allOf"):
        for choice in schema.get(union) or ():
            types |= _types_of(choice, root, depth + 1)
    constants = [*(schema.get("enum") or ()), *([schema["const"]] if "const" in schema else ())]
    if not types and constants and all(isinstance(constant, str) for constant in constants):
        return {"string"}
    return types


def _referenced(reference: str, root: Mapping[str, Any]) -> Any:
    target: Any = root
    for step in reference.removeprefix("#/").split("/"):
        target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target
