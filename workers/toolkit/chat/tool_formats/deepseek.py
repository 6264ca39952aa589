"""Calls of DeepSeek V3, R1 and V3.1: control tokens around a name and JSON.

Source: the chat templates on the models' cards.
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
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, either_call, listed

_CALLS, _CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL, _SEPARATOR, _CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"


@dataclass(frozen=True, slots=True)
class DeepSeek(ToolFormat):
    """V3 and R1 write the type, the name and JSON in a code block; V3.1 writes the name and JSON."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.take(_CALLS)
        return calls_between(cursor, _CALL, _CALLS_END, _read_call)

    def form(self, held: HeldTools) -> CallForm | None:
        if "```json" in held.template:
            call = either_call(
                held.schemas, lambda name: f"{_CALL}function{_SEPARATOR}{name}\n```json\n", f"\n```{_CALL_END}"
            )
        else:
            call = either_call(held.schemas, lambda name: f"{_CALL}{name}{_SEPARATOR}", _CALL_END)
        calls = listed(call, "\n" if "```json" in held.template else "", several=held.several)
        return CallForm(_CALLS, g.sequence(calls, g.text(_CALLS_END)))


def _read_call(cursor: Cursor) -> WrittenCall:
    head = cursor.until(_SEPARATOR).strip()
    name = cursor.until("\n").strip() if head == "function" else head
    is_block = cursor.take("```json")
    if not re.fullmatch(r"[\w.:-]+", name):
        raise MalformedCall("no name")
    arguments = cursor.json()
    if not isinstance(arguments, dict):
        raise MalformedCall("the arguments are no object")
    if is_block:
        cursor.take("```")
    cursor.close(_CALL_END)
    return WrittenCall(name, arguments)


_HEAD = re.compile(
    rf"{_CALLS}\s*{_CALL}\s*(?:function{_SEPARATOR}(?P<name>[\w.:-]+)\s*```json|(?P<other>[\w.:-]+){_SEPARATOR})\s*(?=\{{)"
)
DEEPSEEK = DeepSeek("deepseek", (_CALLS,), tokens=(_CALL, _SEPARATOR, _CALL_END, _CALLS_END), head=_HEAD)
