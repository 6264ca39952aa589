"""Calls of Apertus: a list between two control tokens, in which each call is an object with the tool's name as its key.

Source: the chat template on the model's card, and its description of the format.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.tool_formats.base import CallReading, Cursor, MalformedCall, ToolFormat, WrittenCall
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, either_call, listed

_BEGIN, _END = "<|tools_prefix|>", "<|tools_suffix|>"


@dataclass(frozen=True, slots=True)
class Apertus(ToolFormat):
    """`[{"name": {…}}, …]` between the marks."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_BEGIN)
        content = cursor.json()
        items = content if isinstance(content, list) else [content]
        if not items or not all(isinstance(item, dict) and item for item in items):
            raise MalformedCall("no calls")
        calls = [WrittenCall(name, arguments or {}) for item in items for name, arguments in item.items()]
        if not all(isinstance(call.arguments, dict) for call in calls):
            raise MalformedCall("arguments that are no object")
        cursor.close(_END)
        return CallReading(calls, cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        call = either_call(held.schemas, lambda name: f"{{{json.dumps(name)}: ", "}")
        calls = listed(call, ", ", several=held.several)
        return CallForm(_BEGIN, g.sequence(g.text("["), calls, g.text(f"]{_END}")))


_HEAD = re.compile(rf'{re.escape(_BEGIN)}\s*\[?\s*\{{\s*"(?P<name>[\w.:-]+)"\s*:\s*(?=\{{)')
APERTUS = Apertus("apertus", (_BEGIN,), tokens=(_END,), head=_HEAD)
