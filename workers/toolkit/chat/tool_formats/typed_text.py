"""Arguments that a model writes as plain text, without JSON's quotes: the tool's schema says what they are."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.tool_formats.base import Cursor, MalformedCall
from workers.toolkit.chat.tool_formats.held_calls import HeldTools
from workers.toolkit.chat.tool_formats.schema_parts import (
    UnwritableSchema,
    is_open,
    referenced,
    resolved,
    string_pattern,
    with_definitions,
    without_strings,
)

_PYTHON_CONSTANTS = {"True": True, "False": False, "None": None}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip


def read_value(cursor: Cursor, end: str, parameters: Mapping[str, Any], name: str, *, on_lines: bool = False) -> Any:
    """The value of the argument `name` before an `end`, behind which the cursor goes. JSON may have the end in it.

    `on_lines`: the value may be on lines of its own, whose line breaks are not part of it.
    """
    start = cursor.at
    if types_of(schema_of(parameters, name), parameters) != {"string"}:
        cursor.skip_space()
        if cursor.text[cursor.at : cursor.at + 1] in ("{", "["):
            try:
                value = cursor.json()
                cursor.expect(end)
                return value
            except MalformedCall:
                pass  # text that begins like JSON
        cursor.at = start
    text = cursor.until(end)
    return value_of(text.removeprefix("\n").removesuffix("\n") if on_lines else text, parameters, name)


def value_of(text: str, parameters: Mapping[str, Any], name: str) -> Any:
    """The argument `name` as its schema wants it: the text itself, or the JSON that is written in it."""
    types = types_of(schema_of(parameters, name), parameters)
    if types == {"string"}:
        return text
    value = _parsed(text)
    if not types:
        return value
    fits = any(_is_of(value, kind) for kind in types)
    return value if fits or "string" not in types else text


def unquoted(value: Any, parameters: Mapping[str, Any], name: str) -> Any:
    """The argument `name`; if it is a string and cannot be one, what is written in it."""
    types = types_of(schema_of(parameters, name), parameters)
    return value_of(value, parameters, name) if isinstance(value, str) and types and "string" not in types else value


def schema_of(parameters: Mapping[str, Any], name: str) -> Any:
    """The schema of the argument `name`."""
    node = resolved(parameters, parameters)
    properties = node.get("properties")
    schema = properties.get(name) if isinstance(properties, Mapping) else None
    return node.get("additionalProperties", True) if schema is None else schema


def _parsed(text: str) -> Any:
    stripped = text.strip()
    if stripped in _PYTHON_CONSTANTS:
        return _PYTHON_CONSTANTS[stripped]
    try:
        return json.loads(stripped, strict=False, parse_constant=str)
    except ValueError:
        return _python_value(stripped) if stripped[:1] in ("[", "{") else text


def _python_value(text: str) -> Any:
    """A list or object in Python's syntax, as some chat templates write them; the text itself if it is none."""
    try:
        value = ast.literal_eval(text)
        json.dumps(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
    return value


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool) and kind != "boolean":
        return False
    return kind != "string" and isinstance(value, _TYPES.get(kind, ()))


def types_of(schema: Any, root: Mapping[str, Any], depth: int = 0) -> set[str]:
    """The JSON types that a schema allows; empty if it does not say."""
    if not isinstance(schema, Mapping) or depth > 8:
        return set()
    if "$ref" in schema:
        return types_of(referenced(schema["$ref"], root), root, depth + 1)
    declared = schema.get("type")
    types = {declared} if isinstance(declared, str) else set(declared or ())
    for union in ("anyOf", "oneOf", "allOf"):
        for choice in schema.get(union) or ():
            types |= types_of(choice, root, depth + 1)
    constants = [*(schema.get("enum") or ()), *([schema["const"]] if "const" in schema else ())]
    if not types and constants and all(isinstance(constant, str) for constant in constants):
        return {"string"}
    return types


_READ_AS = {
    "array": r"\s*\[(?s:.*)",
    "boolean": r"\s*(?:[tT]rue|[fF]alse)\s*",
    "integer": r"\s*-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*",
    "null": r"\s*(?:null|None)\s*",
    "number": r"\s*-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*",
    "object": r"\s*\{(?s:.*)",
    "string": r"\s*\"(?s:.*)",
}
"""What plain text looks like that may be read as a value of a type."""


def held_value(schema: Any, root: Mapping[str, Any], end: str, *never: str) -> Grammar:
    """A value that fits a schema once it is read, and the `end`; text has none of `never` in it.

    Raises UnwritableSchema.
    """
    text, other = string_pattern(schema, root), without_strings(schema, root)
    if other is not False and text is not None and not is_open(other, root):
        types = types_of(other, root) if types_of(schema, root) else set(_READ_AS)
        text = g.both(text, *(g.without(g.pattern(_READ_AS[name])) for name in sorted(types or _READ_AS)))
    elif text is not None and text.kind == "free":
        other = False  # all that can be written is such a text
    options = [] if text is None else [g.before(end, text, never=never)]
    if other is not False:
        options.append(g.sequence(g.json_value(with_definitions(other, root)), g.text(end)))
    return g.either(*options)


def loosened(tool: str, name: str, schema: Any, held: HeldTools, error: UnwritableSchema) -> Any:
    """The schema of an argument with nothing but its types, which is noted: it asks for something unwritable."""
    held.miss(tool, f"{error} in the argument {name!r}")
    types = types_of(schema, held.schemas[tool])
    return {"type": sorted(types)} if types else True
