"""Calls of Command R and R+: the word `Action:` and a list of JSON in a block of code.

Source: the chat template for tools on the models' cards.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.tool_formats.base import CallReading, Cursor, ToolFormat, named_call
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, either_call, listed

_BEGIN, _BLOCK, _END = "Action:", "```json", "```"
_NO_CALL = ("directly-answer", "directly_answer")
"""The names that the chat template tells the model to call if it needs no tool."""


@dataclass(frozen=True, slots=True)
class CommandR(ToolFormat):
    """`[{"tool_name": …, "parameters": {…}}, …]` in the block."""

    def fits(self, template: str) -> bool:
        return _BEGIN in template and _BLOCK in template and '"tool_name"' in template

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect(_BEGIN)
        cursor.expect(_BLOCK)
        content = cursor.json()
        cursor.close(_END)
        items = content if isinstance(content, list) else [content]
        calls = [named_call(item, ("tool_name",), ("parameters",)) for item in items]
        return CallReading([call for call in calls if not _is_none(call.name, cursor)], cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        def before(name: str) -> str:
            return f'    {{\n        "tool_name": {json.dumps(name)},\n        "parameters": '

        calls = listed(either_call(held.schemas, before, "\n    }"), ",\n", several=held.several)
        return CallForm(_BEGIN, g.sequence(g.text(f"\n{_BLOCK}\n[\n"), calls, g.text(f"\n]{_END}")))


def _is_none(name: str, cursor: Cursor) -> bool:
    return name in _NO_CALL and name not in cursor.schemas


_HEAD = re.compile(
    rf'{_BEGIN}\s*{_BLOCK}\s*\[?\s*\{{\s*"tool_name"\s*:\s*"(?P<name>[\w.:-]+)"\s*,\s*"parameters"\s*:\s*(?=\{{)'
)
COMMAND_R = CommandR("command_r", (_BEGIN,), head=_HEAD)
