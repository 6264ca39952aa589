"""Calls of Kimi K3: tags of control tokens with attributes, in which each argument says of which type it is.

Source: the chat template on the model's card. Attributes are escaped, and texts are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.tool_formats.base import (
    CallReading,
    Cursor,
    MalformedCall,
    ToolFormat,
    WrittenCall,
    calls_between,
)
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, listed
from workers.toolkit.chat.tool_formats.schema_parts import string_pattern, with_definitions, without_strings
from workers.toolkit.chat.tool_formats.tagged import held_arguments
from workers.toolkit.chat.tool_formats.typed_text import read_value, types_of, unquoted

_OPEN, _CLOSE, _SEPARATOR = "<|open|>", "<|close|>", "<|sep|>"
_ATTRIBUTE = re.compile(r"(\w+)=\"([^\"]*)\"")
_WRITTEN_TYPES = {"integer": "number"}


def opened(tag: str) -> str:
    """The tag that begins an element without attributes."""
    return f"{_OPEN}{tag}{_SEPARATOR}"


def closed(tag: str) -> str:
    """The tag that ends an element."""
    return f"{_CLOSE}{tag}{_SEPARATOR}"


@dataclass(frozen=True, slots=True)
class KimiTags(ToolFormat):
    """An element for each call and each argument; a call may also have all its arguments as one JSON object."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(opened("tools"))
        return calls_between(cursor, f"{_OPEN}call", closed("tools"), _read_call)

    def form(self, held: HeldTools) -> CallForm | None:
        index = g.pattern("[1-9][0-9]{0,2}") if held.several else g.text("1")
        calls = [
            g.sequence(
                g.text(f'{_OPEN}call tool="{tool}" index="'),
                index,
                g.text(f'"{_SEPARATOR}'),
                held_arguments(tool, held, f'{_OPEN}argument key="', '" type="', _held_value),
                g.text(closed("call")),
            )
            for tool in held.schemas
        ]
        body = g.sequence(listed(g.either(*calls), "", several=held.several), g.text(closed("tools")))
        return CallForm(opened("tools"), body)


def _read_call(cursor: Cursor) -> WrittenCall:
    name = _attributes(cursor).get("tool", "")
    if not name:
        raise MalformedCall("no name")
    schema = cursor.schemas.get(name, {})
    arguments: dict[str, Any] = {}
    while not cursor.take(closed("call")):
        if cursor.take(f"{_OPEN}json"):
            _attributes(cursor)
            arguments |= _object(cursor.json())
            cursor.expect(closed("json"))
            continue
        cursor.expect(f"{_OPEN}argument")
        attributes = _attributes(cursor)
        if "key" not in attributes:
            raise MalformedCall("no key")
        key, end = attributes["key"], closed("argument")
        if attributes.get("type", "string") == "string":
            arguments[key] = unquoted(cursor.until(end), schema, key)
        else:
            arguments[key] = read_value(cursor, end, schema, key)
    return WrittenCall(name, arguments)


def _attributes(cursor: Cursor) -> dict[str, str]:
    """The attributes up to the end of a tag."""
    written = cursor.until(_SEPARATOR)
    return {name: value.replace("&quot;", '"').replace("&amp;", "&") for name, value in _ATTRIBUTE.findall(written)}


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise MalformedCall("the arguments are no object")
    return content


def _held_value(schema: Any, root: Mapping[str, Any]) -> Grammar:
    """The type of a value, the value, and the end of its element."""
    end = closed("argument")
    text, other = string_pattern(schema, root), without_strings(schema, root)
    options = [] if text is None else [g.sequence(g.text(f'string"{_SEPARATOR}'), g.before(end, text, never=[end]))]
    if other is not False:
        names = sorted({_WRITTEN_TYPES.get(name, name) for name in types_of(other, root)} or _ALL_TYPES)
        kind = g.either(*(g.text(f'{name}"{_SEPARATOR}') for name in names))
        options.append(g.sequence(kind, g.json_value(with_definitions(other, root)), g.text(end)))
    return g.either(*options)


_ALL_TYPES = {"array", "boolean", "null", "number", "object"}
KIMI_K3 = KimiTags("kimi_k3", (opened("tools"),), tokens=(_OPEN, _CLOSE, _SEPARATOR))
