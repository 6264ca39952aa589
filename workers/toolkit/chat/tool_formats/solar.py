"""Calls of Solar Open and Solar Open 2: control tokens around a name and its arguments.

Sources: the parsers of both models in vLLM, since their chat templates are not public beyond the models' cards.
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

_CALLS, _CALLS_END = "<|tool_calls|>", "<|calls|>"
_CALL, _NAME, _ARGUMENTS, _CALL_END = (f"<|tool_call:{part}|>" for part in ("begin", "name", "args", "end"))
_FUNCTION = re.compile(r"[\w.:-]+")


@dataclass(frozen=True, slots=True)
class Solar(ToolFormat):
    """An id, the name, and JSON. The model makes its ids up and may repeat one, so that calls get ids of ours."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_CALLS)
        return calls_between(cursor, _CALL, _CALLS_END, _read_call)

    def form(self, held: HeldTools) -> CallForm | None:
        calls = [
            g.sequence(
                g.text(_CALL),
                g.pattern("[a-z0-9]{10}"),
                g.text(f"{_NAME}{name}{_ARGUMENTS}"),
                g.json_value(dict(schema)),
                g.text(_CALL_END),
            )
            for name, schema in held.schemas.items()
        ]
        body = listed(g.either(*calls), "", several=held.several)
        return CallForm(_CALLS, g.sequence(body, g.text(_CALLS_END)))


def _read_call(cursor: Cursor) -> WrittenCall:
    cursor.until(_NAME)
    name = _function(cursor.until(_ARGUMENTS))
    arguments = cursor.json()
    if not isinstance(arguments, dict):
        raise MalformedCall("the arguments are no object")
    cursor.close(_CALL_END)
    return WrittenCall(name, arguments)


def _function(written: str) -> str:
    name = written.strip()
    if not _FUNCTION.fullmatch(name):
        raise MalformedCall("no name")
    return name


_HEAD = re.compile(
    rf"{re.escape(_CALLS)}\s*{re.escape(_CALL)}[^<]*{re.escape(_NAME)}\s*(?P<name>[\w.:-]+)\s*{re.escape(_ARGUMENTS)}"
    r"\s*(?=\{)"
)
SOLAR = Solar(
    "solar_open", (_CALLS,), tokens=(_CALL, _NAME, _ARGUMENTS, _CALL_END, _CALLS_END), id_length=10, head=_HEAD
)

_START, _END = "<|tool_call:start|>", "<|tool_call:end|>"
_KEY, _VALUE, _VALUE_END = "<|tool_arg:start|>", "<|tool_arg:value|>", "<|tool_arg:end|>"


@dataclass(frozen=True, slots=True)
class Solar2(ToolFormat):
    """The name on a line of its own, then a key and plain text for each argument."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_START)
        name = _function(cursor.until("\n"))
        arguments: dict[str, Any] = {}
        while cursor.take(_KEY):
            key = cursor.until(_VALUE).strip()
            arguments[key] = read_value(cursor, _VALUE_END, cursor.schemas.get(name, {}), key)
        cursor.expect(_END)
        return CallReading([WrittenCall(name, arguments)], cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        def value(schema: Any, root: Mapping[str, Any]) -> Grammar:
            return held_value(schema, root, f"{_VALUE_END}\n", _VALUE_END)

        calls = [
            g.sequence(g.text(f"{tool}\n"), held_arguments(tool, held, _KEY, _VALUE, value)) for tool in held.schemas
        ]
        return CallForm(_START, g.sequence(g.either(*calls), g.text(_END)), "\n")


SOLAR_2 = Solar2("solar_open2", (_START,), tokens=(_END, _KEY, _VALUE, _VALUE_END))
