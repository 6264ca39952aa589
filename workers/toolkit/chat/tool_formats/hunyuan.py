"""Calls of Hunyuan 3: tags with the tool's name and pairs of keys and values, all inside an outer tag.

Source: the chat template on the model's card. The tags end in `:opensource`, so that no text has them by chance.
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
from workers.toolkit.chat.tool_formats.tagged import held_arguments
from workers.toolkit.chat.tool_formats.typed_text import held_value, read_value


def _tag(name: str) -> tuple[str, str]:
    return f"<{name}:opensource>", f"</{name}:opensource>"


_CALLS, _CALLS_END = _tag("tool_calls")
_CALL, _CALL_END = _tag("tool_call")
_KEY, _KEY_END = _tag("arg_key")
_VALUE, _VALUE_END = _tag("arg_value")
_SEPARATOR, _ = _tag("tool_sep")


@dataclass(frozen=True, slots=True)
class Hunyuan(ToolFormat):
    """The name up to a separator, then a key and a value for each argument."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_CALLS)
        return calls_between(cursor, _CALL, _CALLS_END, _read_call)

    def form(self, held: HeldTools) -> CallForm | None:
        def value(schema: Any, root: Mapping[str, Any]) -> Grammar:
            return held_value(schema, root, f"{_VALUE_END}\n", _VALUE_END)

        between = f"{_KEY_END}\n{_VALUE}"
        calls = [
            g.sequence(g.text(f"{_CALL}{tool}{_SEPARATOR}\n"), held_arguments(tool, held, _KEY, between, value))
            for tool in held.schemas
        ]
        call = g.sequence(g.either(*calls), g.text(f"{_CALL_END}\n"))
        return CallForm(_CALLS, g.sequence(g.text("\n"), listed(call, "", several=held.several), g.text(_CALLS_END)))


def _read_call(cursor: Cursor) -> WrittenCall:
    name = cursor.until(_SEPARATOR).strip()
    if not re.fullmatch(r"[\w.:-]+", name):
        raise MalformedCall("no name")
    arguments: dict[str, Any] = {}
    schema = cursor.schemas.get(name, {})
    while cursor.take(_KEY):
        key = cursor.until(_KEY_END).strip()
        cursor.expect(_VALUE)
        arguments[key] = read_value(cursor, _VALUE_END, schema, key)
    cursor.expect(_CALL_END)  # without it, arguments may be missing
    return WrittenCall(name, arguments)


_TOKENS = (_CALLS_END, _CALL, _CALL_END, _SEPARATOR, _KEY, _KEY_END, _VALUE, _VALUE_END)
HUNYUAN = Hunyuan("hunyuan", (_CALLS,), tokens=_TOKENS)
