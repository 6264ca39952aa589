"""Calls of MiniCPM5: elements of XML, in which a text with markup or several lines is a CDATA section.

Source: the chat template on the model's card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import unescape

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.tool_formats.base import CallReading, Cursor, MalformedCall, ToolFormat, WrittenCall
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools
from workers.toolkit.chat.tool_formats.schema_parts import string_pattern, without_strings
from workers.toolkit.chat.tool_formats.tagged import held_arguments
from workers.toolkit.chat.tool_formats.typed_text import held_value, read_value, unquoted

_CALL, _CALL_END = '<function name="', "</function>"
_PARAMETER, _PARAMETER_END = '<param name="', "</param>"
_RAW, _RAW_END = "<![CDATA[", "]]>"
_NAME = re.compile(r"[\w.:-]+")
_ENTITIES = {"&quot;": '"', "&apos;": "'"}


@dataclass(frozen=True, slots=True)
class MiniCpm(ToolFormat):
    """`<function name="…">` with `<param name="…">` for each argument."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_CALL)
        name = cursor.until('">')
        if not _NAME.fullmatch(name):
            raise MalformedCall("no name")
        schema = cursor.schemas.get(name, {})
        arguments: dict[str, Any] = {}
        while cursor.take(_PARAMETER):
            key = cursor.until('">')
            arguments[key] = _read_value(cursor, schema, key)
        cursor.expect(_CALL_END)
        return CallReading([WrittenCall(name, arguments)], cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        calls = [
            g.sequence(g.text(f'{tool}">'), held_arguments(tool, held, _PARAMETER, '">', _held_value))
            for tool in held.schemas
        ]
        return CallForm(_CALL, g.sequence(g.either(*calls), g.text(_CALL_END)), "\n")


def _read_value(cursor: Cursor, schema: Mapping[str, Any], key: str) -> Any:
    if cursor.take(_RAW):
        return unquoted(cursor.until(f"{_RAW_END}{_PARAMETER_END}"), schema, key)
    value = read_value(cursor, _PARAMETER_END, schema, key)
    return unescape(value, _ENTITIES) if isinstance(value, str) else value


def _held_value(schema: Any, root: Mapping[str, Any]) -> Grammar:
    """A value and the end of its element. A text may always be a section; one that may be anything, also as it is."""
    text, other = string_pattern(schema, root), without_strings(schema, root)
    options = []
    if text is not None:
        section = g.before(f"{_RAW_END}{_PARAMETER_END}", text, never=[_RAW_END])
        options.append(g.sequence(g.text(_RAW), section))
    if text is not None and text.kind == "free":
        options.append(held_value(schema, root, _PARAMETER_END, "<", "&"))
    elif other is not False:
        options.append(held_value(other, root, _PARAMETER_END))
    return g.either(*options)


MINICPM = MiniCpm("minicpm5", (_CALL,), tokens=("<param", "</param>", _CALL_END, _RAW, _RAW_END))
