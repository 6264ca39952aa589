"""Calls as JSON between two markers: one object, or a list of them.

Sources: the model cards and chat templates of Qwen 2.5 and 3, Hermes 2 Pro, Granite 3, Phi-4-mini, Nemotron, Jamba,
Hunyuan and Command A.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.tool_formats.base import CallReading, Cursor, ToolFormat, WrittenCall, named_call
from workers.toolkit.chat.tool_formats.call_pieces import json_head
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, either_call, listed


@dataclass(frozen=True, slots=True)
class JsonBetween(ToolFormat):
    """JSON from a marker to its `end`; without an `end`, the JSON's own end is the call's."""

    end: str = ""
    name_key: str = "name"
    arguments_keys: tuple[str, ...] = ("arguments", "parameters")
    is_list: bool = True  # as the model writes it; both are read
    template_words: tuple[str, ...] = ()

    def fits(self, template: str) -> bool:
        return any(word in template for word in self.template_words or self.markers)

    def read(self, cursor: Cursor) -> CallReading:
        cursor.skip_marker(*self.markers)
        content = cursor.json()
        items = content if isinstance(content, list) else [content]
        while self.end and not cursor.take(self.end) and cursor.at < len(cursor.text):
            items.append(cursor.json())  # MiniMax M1 writes one object after another
        return CallReading([named_call(item, (self.name_key,), self.arguments_keys) for item in items], cursor.at)

    def write(self, calls: Sequence[WrittenCall]) -> str | None:
        keys = self.name_key, self.arguments_keys[0]
        objects = [
            json.dumps({keys[0]: call.name, keys[1]: call.arguments}, ensure_ascii=False, sort_keys=False)
            for call in calls
        ]
        if self.is_list:
            return f"{self.markers[0]}[{', '.join(objects)}]{self.end}"
        return "\n".join(f"{self.markers[0]}\n{item}\n{self.end}" for item in objects)

    def form(self, held: HeldTools) -> CallForm | None:
        def before(name: str) -> str:
            return f'{{"{self.name_key}": {json.dumps(name)}, "{self.arguments_keys[0]}": '

        call = either_call(held.schemas, before, "}")
        if not self.is_list:
            return CallForm(self.markers[0], g.sequence(g.text("\n"), call, g.text("\n" + self.end)), "\n")
        calls = listed(call, ", ", several=held.several)
        return CallForm(self.markers[0], g.sequence(g.text("["), calls, g.text("]" + self.end)))


HERMES = JsonBetween("hermes", ("<tool_call>",), end="</tool_call>", is_list=False, head=json_head("<tool_call>"))
GRANITE = JsonBetween("granite", ("<|tool_call|>",), head=json_head(r"<\|tool_call\|>"))
PHI = JsonBetween(
    "phi",
    ("<|tool_call|>",),
    end="<|/tool_call|>",
    template_words=("<|/tool_call|>", "<|/tool|>"),
    head=json_head(r"<\|tool_call\|>"),
)
FUNCTOOLS = JsonBetween("functools", ("functools",), template_words=("functools[",), is_written_exactly=False)
NEMOTRON = JsonBetween("nemotron", ("<TOOLCALL>",), end="</TOOLCALL>", head=json_head("<TOOLCALL>"))
JAMBA = JsonBetween("jamba", ("<tool_calls>",), end="</tool_calls>", head=json_head("<tool_calls>"))
COMMAND = JsonBetween(
    "command",
    ("<|START_ACTION|>",),
    end="<|END_ACTION|>",
    name_key="tool_name",
    arguments_keys=("parameters",),
    head=json_head(r"<\|START_ACTION\|>", "tool_name", "parameters"),
)
