"""Calls of Mistral's models: a list of JSON objects, or since version 11 of its tokenizer names and JSON in turn.

Source: the documentation of mistral-common (tokens and their versions).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.tool_formats.base import (
    CallReading,
    Cursor,
    IncompleteCall,
    MalformedCall,
    ToolFormat,
    WrittenCall,
    named_call,
)
from workers.toolkit.chat.tool_formats.call_pieces import json_head
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, either_call, listed

_BEGIN, _ARGUMENTS, _ID = "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"


@dataclass(frozen=True, slots=True)
class Mistral(ToolFormat):
    """`[TOOL_CALLS][{"name": …, "arguments": {…}}]`, or `[TOOL_CALLS]name[ARGS]{…}` once for each call."""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_BEGIN)
        cursor.skip_space()
        if cursor.text.startswith(("[{", "{"), cursor.at) or re.match(r"\[\s+[\]{]|\[\]", cursor.text[cursor.at :]):
            content = cursor.json()
            return CallReading(
                [named_call(item) for item in (content if isinstance(content, list) else [content])], cursor.at
            )
        if cursor.text[cursor.at :].strip() in ("", "[") and not cursor.ended:
            raise IncompleteCall
        start = cursor.at
        header = cursor.until("{")
        cursor.at -= 1
        name = header.split(_ARGUMENTS)[0].split(_ID)[0].strip()
        if not re.fullmatch(r"[\w.:-]+", name) or start == cursor.at:
            raise MalformedCall("no name")
        return CallReading([WrittenCall(name, cursor.json())], cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        if _ARGUMENTS in held.template:
            return CallForm(_BEGIN, either_call(held.schemas, lambda name: name + _ARGUMENTS, ""), "")
        call = either_call(held.schemas, lambda name: f'{{"name": {json.dumps(name)}, "arguments": ', "}")
        return CallForm(_BEGIN, g.sequence(g.text("["), listed(call, ", ", several=held.several), g.text("]")))


_LIST_HEAD = json_head(r"\[TOOL_CALLS\]").pattern
_HEAD = re.compile(rf"{_LIST_HEAD}|\[TOOL_CALLS\]\s*(?P<other>[\w.:-]+)(?:\[CALL_ID\]\w*)?\s*\[ARGS\]\s*(?=\{{)")
MISTRAL = Mistral("mistral", (_BEGIN,), tokens=(_ARGUMENTS, _ID), id_length=9, head=_HEAD)
