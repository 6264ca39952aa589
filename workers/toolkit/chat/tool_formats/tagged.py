"""Calls in tags like XML's, whose arguments are plain text.

Sources: the model cards and chat templates of Qwen3-Coder, Seed-OSS, GLM 4.5 to 4.7, MiniMax M2 and DeepSeek V3.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.toolkit.chat.tool_formats.base import (
    CallReading,
    Cursor,
    IncompleteCall,
    MalformedCall,
    ToolFormat,
    WrittenCall,
    calls_between,
)
from workers.toolkit.chat.tool_formats.typed_text import value_of


@dataclass(frozen=True, slots=True)
class QwenCoder(ToolFormat):
    """`<function=name>`, then `<parameter=key>` with a value on lines of its own, all inside an outer tag."""

    end: str = "</tool_call>"

    def fits(self, template: str) -> bool:
        return "<function=" in template and self.markers[0] in template

    def read(self, cursor: Cursor) -> CallReading:
        has_outer_tag = cursor.take(self.markers[0])
        calls = []
        cursor.expect("<function=")
        while True:
            name = cursor.until(">").strip()
            calls.append(WrittenCall(name, _parameters(cursor, cursor.schemas.get(name, {}))))
            if not has_outer_tag or not cursor.take("<function="):
                break
        if has_outer_tag:
            cursor.close(self.end)
        return CallReading(calls, cursor.at)


def _parameters(cursor: Cursor, schema: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {}
    while cursor.take("<parameter="):
        key = cursor.until(">").strip()
        value = cursor.until("</parameter>")
        arguments[key] = value_of(value.removeprefix("\n").removesuffix("\n"), schema, key)
    cursor.expect("</function>")
    return arguments


@dataclass(frozen=True, slots=True)
class Glm(ToolFormat):
    """The name, then pairs of `<arg_key>` and `<arg_value>`."""

    def fits(self, template: str) -> bool:
        return "<arg_key>" in template

    def read(self, cursor: Cursor) -> CallReading:
        cursor.expect("<tool_call>")
        name = _named(cursor)
        arguments, schema = {}, cursor.schemas.get(name, {})
        while cursor.take("<arg_key>"):
            key = cursor.until("</arg_key>").strip()
            cursor.expect("<arg_value>")
            arguments[key] = value_of(cursor.until("</arg_value>"), schema, key)
        cursor.expect("</tool_call>")
        return CallReading([WrittenCall(name, arguments)], cursor.at)


def _named(cursor: Cursor) -> str:
    """The name before the next tag."""
    cursor.skip_space()
    written = _NAME.match(cursor.text, cursor.at)
    if not cursor.ended and (written.end() if written else cursor.at) == len(cursor.text):
        raise IncompleteCall
    if written is None:
        raise MalformedCall("no name")
    cursor.at = written.end()
    return written[0]


_NAME = re.compile(r"[\w.-]+")
_INVOKED = re.compile(r"\s+name=\"([^\"]+)\"(?:\s+string=\"(true|false)\")?\s*>")


@dataclass(frozen=True, slots=True)
class Invoke(ToolFormat):
    """`<invoke name="…">` with `<parameter name="…">`, any number of them inside an outer tag."""

    end: str = ""
    prefix: str = ""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.skip_marker(*self.markers)
        return calls_between(cursor, f"<{self.prefix}invoke", self.end, self._read_call)

    def _read_call(self, cursor: Cursor) -> WrittenCall:
        name, _ = _attributes(cursor)
        return WrittenCall(name, self._arguments(cursor, cursor.schemas.get(name, {})))

    def _arguments(self, cursor: Cursor, schema: Mapping[str, Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        while cursor.take(f"<{self.prefix}parameter"):
            key, is_string = _attributes(cursor)
            value = cursor.until(f"</{self.prefix}parameter>")
            arguments[key] = value if is_string == "true" else value_of(value, schema, key)
        cursor.expect(f"</{self.prefix}invoke>")
        return arguments


def _attributes(cursor: Cursor) -> tuple[str, str | None]:
    """The attribute `name`, and `string` if there is one, up to the end of the tag."""
    start = cursor.at
    cursor.until(">")
    attributes = _INVOKED.fullmatch(cursor.text[start : cursor.at])
    if attributes is None:
        raise MalformedCall("no name")
    return attributes[1], attributes[2]


QWEN_CODER = QwenCoder("qwen3_coder", ("<tool_call>", "<function="))
SEED = QwenCoder("seed", ("<seed:tool_call>",), end="</seed:tool_call>")
GLM = Glm("glm", ("<tool_call>",))
MINIMAX = Invoke("minimax", ("<minimax:tool_call>",), end="</minimax:tool_call>")
DSML = Invoke("deepseek_v3_2", ("<｜DSML｜function_calls>",), end="</｜DSML｜function_calls>", prefix="｜DSML｜")
