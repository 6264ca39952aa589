"""Calls in tags like XML's, whose arguments are plain text.

Sources: the model cards and chat templates of Qwen3-Coder, Seed-OSS, GLM 4.5 to 4.7, MiniMax M2 and DeepSeek V3.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.tool_formats.base import (
    CallReading,
    Cursor,
    IncompleteCall,
    MalformedCall,
    ToolFormat,
    WrittenCall,
    calls_between,
)
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, UnwritableCall, arguments_of, listed
from workers.toolkit.chat.tool_formats.schema_parts import (
    UnwritableSchema,
    string_pattern,
    with_definitions,
    without_strings,
)
from workers.toolkit.chat.tool_formats.typed_text import held_value, loosened, read_value

_ANY_KEY = r"[A-Za-z_][A-Za-z0-9_]{0,63}"
_KEY = re.compile(r"[^\s<>\"](?:[^<>\"\n]*[^\s<>\"])?")

Value = Callable[[Any, Mapping[str, Any]], Grammar]
"""Writes a value of a schema, whose references lead into the second, and what is behind it. Raises UnwritableSchema."""


def held_arguments(tool: str, held: HeldTools, before: str, between: str, value: Value) -> Grammar:
    """The arguments of a tool, each as the text `before` its key, the key, the text `between`, and its value."""
    root = held.schemas[tool]
    arguments = arguments_of(tool, held)

    def write(name: str | None, schema: Any) -> Grammar:
        if name is not None and not _KEY.fullmatch(name):
            raise UnwritableCall(f"the name of the argument {name!r} of {tool!r} cannot be written in a tag")
        try:
            written = value(schema, root)
        except UnwritableSchema as error:
            written = value(loosened(tool, name or "*", schema, held, error), root)
        if name is None:
            return g.sequence(g.text(before), g.pattern(_ANY_KEY), g.text(between), written)
        return g.sequence(g.text(f"{before}{name}{between}"), written)

    return arguments.written(lambda item: write(item.name, item.schema) if item else write(None, arguments.free))


@dataclass(frozen=True, slots=True)
class QwenCoder(ToolFormat):
    """`<function=name>`, then `<parameter=key>` with a value, between lines or not, all inside an outer tag."""

    end: str = "</tool_call>"
    line: str = "\n"

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

    def form(self, held: HeldTools) -> CallForm | None:
        end = "</parameter>"

        def value(schema: Any, root: Mapping[str, Any]) -> Grammar:
            return held_value(schema, root, f"{self.line}{end}\n", end)

        calls = [
            g.sequence(
                g.text(f"\n<function={tool}>\n"), held_arguments(tool, held, "<parameter=", f">{self.line}", value)
            )
            for tool in held.schemas
        ]
        return CallForm(self.markers[0], g.sequence(g.either(*calls), g.text(f"</function>\n{self.end}")), "\n")


def _parameters(cursor: Cursor, schema: Mapping[str, Any]) -> dict[str, Any]:
    arguments = {}
    while cursor.take("<parameter="):
        key = cursor.until(">").strip()
        arguments[key] = read_value(cursor, "</parameter>", schema, key, on_lines=True)
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
            arguments[key] = read_value(cursor, "</arg_value>", schema, key)
        cursor.expect("</tool_call>")
        return CallReading([WrittenCall(name, arguments)], cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        line = "\n" if re.search(r"</arg_key>(?:\n|\\n)", held.template) else ""
        end = "</arg_value>"

        def value(schema: Any, root: Mapping[str, Any]) -> Grammar:
            return held_value(schema, root, end + line, end)

        between = f"</arg_key>{line}<arg_value>"
        calls = [
            g.sequence(g.text(tool + line), held_arguments(tool, held, "<arg_key>", between, value))
            for tool in held.schemas
        ]
        return CallForm("<tool_call>", g.sequence(g.either(*calls), g.text("</tool_call>")), line)


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


_NAME = re.compile(r"[\w.:-]+")
_INVOKED = re.compile(r"\s+name=\"([^\"]+)\"(?:\s+string=\"(true|false)\")?\s*>")


@dataclass(frozen=True, slots=True)
class Invoke(ToolFormat):
    """`<invoke name="…">` with `<parameter name="…">`, any number of them inside an outer tag."""

    end: str = ""
    prefix: str = ""
    says_type: bool = False  # whether each argument says if it is a string

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
            end = f"</{self.prefix}parameter>"
            arguments[key] = cursor.until(end) if is_string == "true" else read_value(cursor, end, schema, key)
        cursor.expect(f"</{self.prefix}invoke>")
        return arguments

    def form(self, held: HeldTools) -> CallForm | None:
        calls = [
            g.sequence(g.text(f'<{self.prefix}invoke name="{tool}">\n'), self._held_arguments(tool, held))
            for tool in held.schemas
        ]
        call = g.sequence(g.either(*calls), g.text(f"</{self.prefix}invoke>\n"))
        body = g.sequence(g.text("\n"), listed(call, "", several=held.several), g.text(self.end))
        return CallForm(self.markers[0], body)

    def _held_arguments(self, tool: str, held: HeldTools) -> Grammar:
        mark = f"</{self.prefix}parameter>"

        def value(schema: Any, root: Mapping[str, Any]) -> Grammar:
            if not self.says_type:
                return held_value(schema, root, f"{mark}\n", mark)
            text, other = string_pattern(schema, root), without_strings(schema, root)
            options = [] if text is None else [g.sequence(g.text('true">'), g.before(f"{mark}\n", text, never=[mark]))]
            if other is not False:
                json = g.json_value(with_definitions(other, root))
                options.append(g.sequence(g.text('false">'), json, g.text(f"{mark}\n")))
            return g.either(*options)

        between = '" string="' if self.says_type else '">'
        return held_arguments(tool, held, f'<{self.prefix}parameter name="', between, value)


def _attributes(cursor: Cursor) -> tuple[str, str | None]:
    """The attribute `name`, and `string` if there is one, up to the end of the tag."""
    start = cursor.at
    cursor.until(">")
    attributes = _INVOKED.fullmatch(cursor.text[start : cursor.at])
    if attributes is None:
        raise MalformedCall("no name")
    return attributes[1], attributes[2]


QWEN_CODER = QwenCoder("qwen3_coder", ("<tool_call>", "<function="))
SEED = QwenCoder("seed", ("<seed:tool_call>",), end="</seed:tool_call>", line="")
GLM = Glm("glm", ("<tool_call>",))
MINIMAX = Invoke("minimax", ("<minimax:tool_call>",), end="</minimax:tool_call>")
DSML = Invoke(
    "deepseek_v3_2", ("<｜DSML｜function_calls>",), end="</｜DSML｜function_calls>", prefix="｜DSML｜", says_type=True
)
DSML_V4 = Invoke(
    "deepseek_v4", ("<｜DSML｜tool_calls>",), end="</｜DSML｜tool_calls>", prefix="｜DSML｜", says_type=True
)
