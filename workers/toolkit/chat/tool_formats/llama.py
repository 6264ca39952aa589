"""Calls of Llama 3.1 to 3.3: an answer that is nothing but JSON, or that begins with a control token.

Source: llama.com/docs/model-cards-and-prompt-formats/llama3_1.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from workers.toolkit.chat.tool_formats.base import CallReading, Cursor, MalformedCall, ToolFormat, named_call
from workers.toolkit.chat.tool_formats.call_pieces import json_head
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, either_call
from workers.toolkit.chat.tool_formats.pythonic import read_calls

_TAG = "<|python_tag|>"


@dataclass(frozen=True, slots=True)
class LlamaJson(ToolFormat):
    """`{"name": …, "parameters": {…}}`, several with semicolons between, or built-in tools: `name.call(query="…")`."""

    def fits(self, template: str) -> bool:
        return _TAG in template or ('"parameters"' in template and "<|start_header_id|>" in template)

    def read(self, cursor: Cursor) -> CallReading:
        if cursor.take(_TAG):
            cursor.skip_space()
            if not cursor.text.startswith("{", cursor.at) and cursor.at < len(cursor.text):
                calls, end = read_calls(cursor.text, cursor.at, several=False, ended=cursor.ended)
                return CallReading([type(call)(call.name.removesuffix(".call"), call.arguments) for call in calls], end)
        content = cursor.json()
        calls = [
            named_call(item) for item in (content if isinstance(content, list) else [content])
        ]  # xLAM writes a list
        while cursor.take(";"):
            calls.append(named_call(cursor.json()))
        if not calls or any(call.name not in cursor.schemas for call in calls):
            raise MalformedCall("no tool has this name")  # JSON that is the answer itself
        return CallReading(calls, cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        call = either_call(held.schemas, lambda name: f'{{"name": {json.dumps(name)}, "parameters": ', "}")
        return CallForm("", call, "; ")


LLAMA = LlamaJson("llama3", (_TAG, "{", "["), at_start=True, head=json_head(r"(?:<\|python_tag\|>)?"))
