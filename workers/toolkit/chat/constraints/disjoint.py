"""Whether the options of a `oneOf` exclude each other, so that it means the same as `anyOf`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

_ALL_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})
_MAX_REFERENCES = 16
_MAX_OPTIONS = 64
_MAX_COMPARISONS = 10_000


def are_disjoint(options: Sequence[Any], root: Any) -> bool:
    """Whether it is certain that no value fits two of the options. `root` is what their references refer to."""
    if len(options) > _MAX_OPTIONS:
        return False
    resolved = [_resolve(option, root) for option in options]
    left = itertools.repeat(None, _MAX_COMPARISONS)
    return all(_exclude(first, second, root, left, depth=4) for first, second in itertools.combinations(resolved, 2))


def _exclude(first: Any, second: Any, root: Any, left: Iterator[None], depth: int) -> bool:
    """Whether no value fits both. `left` has an item for each comparison that may still be made."""
    if first is False or second is False:
        return True
    is_last = not depth or next(left, False) is False
    if is_last or not isinstance(first, dict) or not isinstance(second, dict):
        return False
    types = _types(first), _types(second)
    if not types[0] & types[1]:
        return True
    values = _values(first), _values(second)
    if values[0] is not None and values[1] is not None and not values[0] & values[1]:
        return True
    if types[0] | types[1] != {"object"}:
        return False
    keys = {*_list(first.get("required")), *_list(second.get("required"))}
    pairs = ((_property(first, key, root), _property(second, key, root)) for key in keys)
    return any(_exclude(*pair, root, left, depth - 1) for pair in pairs)


def _property(schema: dict[str, Any], key: Any, root: Any) -> Any:
    properties = schema.get("properties")
    return _resolve(properties.get(key, True) if isinstance(properties, dict) else True, root)


def _resolve(schema: Any, root: Any) -> Any:
    """The schema to which a local reference without siblings leads; True, which excludes nothing, if unknown."""
    for _ in range(_MAX_REFERENCES):
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        schema = _lookup(schema["$ref"], root)
    return True


def _lookup(reference: Any, root: Any) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return True
    target = root
    for step in filter(None, reference[1:].split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        target = target.get(name, True) if isinstance(target, dict) else True
    return target


def _types(schema: dict[str, Any]) -> frozenset[str]:
    """The types that a value may have. Integers count as numbers."""
    if (literals := _literals(schema)) is not None:
        return frozenset(_type_of(value) for value in literals)
    types = schema.get("type", list(_ALL_TYPES))
    listed = types if isinstance(types, list) else [types]
    return frozenset("number" if name == "integer" else str(name) for name in listed)


def _values(schema: dict[str, Any]) -> frozenset[str] | None:
    """The values of `const` or `enum`, as JSON; None if there is neither."""
    literals = _literals(schema)
    return None if literals is None else frozenset(json.dumps(_normalized(v), sort_keys=True) for v in literals)


def _literals(schema: dict[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return _list(schema["enum"]) if "enum" in schema else None


def _normalized(value: Any) -> Any:
    """Numbers that are equal in JSON become the same: 1.0 is 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
