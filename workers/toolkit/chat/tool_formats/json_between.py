"""Calls as JSON between two markers: one object, or a list of them.

Sources: the model cards and chat templates of Qwen 2.5 and 3, Hermes 2 Pro, Granite 3, Phi-4-mini, Nemotron, Jamba,
Hunyuan and Command A.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.toolkit.chat.tool_formats.base import CallReading, Cursor, ToolFormat, named_call


@dataclass(frozen=True, slots=True)
class JsonBetween(ToolFormat):
    """JSON from a marker to its `end`; without an `end`, the JSON's own end is the call's."""

    end: str = ""
    name_key: str = "name"
    arguments_keys: tuple[str, ...] = ("arguments", "parameters")

    def read(self, cursor: Cursor) -> CallReading:
        cursor.skip_marker(*self.markers)
        content = cursor.json()
        if self.end:
            cursor.close(self.end)
        items = content if isinstance(content, list) else [content]
        return CallReading([named_call(item, (self.name_key,), self.arguments_keys) for item in items], cursor.at)


HERMES = JsonBetween("hermes", ("<tool_call>",), end="</tool_call>")
GRANITE = JsonBetween("granite", ("<|tool_call|>",))
PHI = JsonBetween("phi", ("<|tool_call|>",), end="<|/tool_call|>")
NEMOTRON = JsonBetween("nemotron", ("<TOOLCALL>",), end="</TOOLCALL>")
JAMBA = JsonBetween("jamba", ("<tool_calls>",), end="</tool_calls>")
COMMAND = JsonBetween(
    "command", ("<|START_ACTION|>",), end="<|END_ACTION|>", name_key="tool_name", arguments_keys=("parameters",)
)
