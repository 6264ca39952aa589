"""Calls of functionary 3.1, written for Llama 3.1's own form of custom tools: a tag with the name, and JSON inside.

Source: the chat template on the model's card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workers.toolkit.chat.tool_formats.base import CallReading, Cursor, MalformedCall, ToolFormat, WrittenCall
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, either_call

_BEGIN, _END = "<function=", "</function>"


@dataclass(frozen=True, slots=True)
class FunctionTag(ToolFormat):
    """`<function=name>{…}</function>` once for each call."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_BEGIN)
        name = cursor.until(">").strip()
        arguments = cursor.json()
        if not re.fullmatch(r"[\w.:-]+", name) or not isinstance(arguments, dict):
            raise MalformedCall("no name, or arguments that are no object")
        cursor.close(_END)
        return CallReading([WrittenCall(name, arguments)], cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        return CallForm(_BEGIN, either_call(held.schemas, lambda name: f"{name}>", _END), "")


_HEAD = re.compile(rf"{_BEGIN}(?P<name>[\w.:-]+)>\s*(?=\{{)")
FUNCTIONARY = FunctionTag("functionary", (_BEGIN,), head=_HEAD)
