"""Calls of Kimi K2: control tokens around an id, which has the name in it, and JSON.

Source: the model's tool-calling guide on its card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.tool_formats.base import (
    CallReading,
    Cursor,
    MalformedCall,
    ToolFormat,
    WrittenCall,
    calls_between,
)
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, listed

_CALLS, _CALLS_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
_CALL, _ARGUMENTS, _CALL_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
_ID = re.compile(r"(?:functions\.)?([\w.:-]+?)(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Kimi(ToolFormat):
    """The model numbers its calls through the conversation, and its template wants to see these ids again."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.take(_CALLS)
        return calls_between(cursor, _CALL, _CALLS_END, _read_call)

    def form(self, held: HeldTools) -> CallForm | None:
        options = [
            g.sequence(
                g.text(f"{_CALL}functions.{name}:"),
                g.pattern("[0-9]{1,3}"),
                g.text(_ARGUMENTS),
                g.json_value(dict(schema)),
                g.text(_CALL_END),
            )
            for name, schema in held.schemas.items()
        ]
        calls = listed(g.either(*options), "", several=held.several)
        return CallForm(_CALLS, g.sequence(calls, g.text(_CALLS_END)))


def _read_call(cursor: Cursor) -> WrittenCall:
    written_id = cursor.until(_ARGUMENTS).strip()
    name = _ID.fullmatch(written_id)
    arguments = cursor.json()
    if name is None or not isinstance(arguments, dict):
        raise MalformedCall("no name, or arguments that are no object")
    cursor.close(_CALL_END)
    return WrittenCall(name[1], arguments, written_id)


_HEAD = re.compile(
    rf"{re.escape(_CALLS)}\s*{re.escape(_CALL)}\s*(?P<id>(?:functions\.)?(?P<name>[\w.:-]+?)(?::[0-9]+)?)\s*"
    rf"{re.escape(_ARGUMENTS)}\s*(?=\{{)"
)
KIMI = Kimi("kimi", (_CALLS,), tokens=(_CALL, _ARGUMENTS, _CALL_END, _CALLS_END), head=_HEAD)
