"""Calls of GigaChat 3 and 3.1: one JSON object, as a message of its own behind the answer's, or behind a control token.

Source: the chat templates on the models' cards.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from workers.toolkit.chat.tool_formats.base import CallReading, Cursor, IncompleteCall, ToolFormat, named_call
from workers.toolkit.chat.tool_formats.call_pieces import json_head
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, either_call

_MESSAGE_END = "<|message_sep|>"
_MESSAGE = f"{_MESSAGE_END}\n\nfunction call<|role_sep|>\n"


@dataclass(frozen=True, slots=True)
class GigaChat(ToolFormat):
    """The first marker, then `{"name": …, "arguments": {…}}`. A turn has one call at most.

    The end of a message may be a marker too, since a call begins with it: where none follows, it is no text.
    """

    def read(self, cursor: Cursor) -> CallReading:
        begin = self.markers[0]
        rest = cursor.text[cursor.at : cursor.at + len(begin)]
        if rest != begin and begin.startswith(rest):
            if not cursor.ended:
                raise IncompleteCall
            return CallReading([], len(cursor.text))
        if rest != begin:
            return CallReading([], cursor.at + len(_MESSAGE_END))
        cursor.at += len(begin)
        call = named_call(cursor.json())
        return CallReading([call], cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        call = either_call(held.schemas, lambda name: f'{{"name": {json.dumps(name)}, "arguments": ', "}")
        return CallForm(self.markers[0], call)


GIGACHAT = GigaChat("gigachat", (_MESSAGE, _MESSAGE_END), head=json_head(re.escape(_MESSAGE)))
GIGACHAT_3_1 = GigaChat("gigachat3_1", ("<|function_call|>",), head=json_head(r"<\|function_call\|>"))
