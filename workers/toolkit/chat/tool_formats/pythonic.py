"""Calls in Python's syntax: `[get_weather(city="Paris"), get_time()]`.

Sources: the prompt format of Llama 4 (llama.com/docs/model-cards-and-prompt-formats/llama4) and LFM2's model card.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping, Sequence
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
)
from workers.toolkit.chat.tool_formats.held_calls import (
    CallForm,
    HeldArgument,
    HeldTools,
    UnwritableCall,
    arguments_of,
    listed,
)
from workers.toolkit.chat.tool_formats.schema_parts import UnwritableSchema, with_definitions
from workers.toolkit.chat.tool_formats.typed_text import loosened, unquoted

_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_JSON_CONSTANTS = {"true": True, "false": False, "null": None}
_STRING = r"\"[^\"\\\n]*(?:\\.[^\"\\\n]*)*\"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'"
_PIECE = re.compile(rf"[\[({{]|[\])}}]|{_STRING}|[^\[\](){{}}\"']+", re.DOTALL)
_START = re.compile(r"\[\s*[A-Za-z_][\w.-]*\s*\(|[A-Za-z_][\w.]*\s*\(")
_POSSIBLE_START = re.compile(r"(\[\s*)?([A-Za-z_][\w.-]*\s*)?")


@dataclass(frozen=True, slots=True)
class Pythonic(ToolFormat):
    """A list of calls in Python's syntax, between `begin` and `end` or, without them, as the answer's beginning."""

    end: str = ""
    template_words: tuple[str, ...] = ()

    def fits(self, template: str) -> bool:
        return any(word in template for word in self.template_words)

    def read(self, cursor: Cursor) -> CallReading:
        if self.end:
            cursor.skip_marker(*self.markers)
            cursor.skip_space()
        calls, cursor.at = read_calls(cursor.text, cursor.at, several=True, ended=cursor.ended)
        if self.end:
            cursor.close(self.end)
        elif any(call.name not in cursor.schemas for call in calls):
            raise MalformedCall("no tool has this name")  # a list that is the answer itself
        return CallReading([_typed(call, cursor.schemas.get(call.name, {})) for call in calls], cursor.at)

    def write(self, calls: Sequence[WrittenCall]) -> str | None:
        written = ", ".join(
            f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})" for call in calls
        )
        return f"{self.markers[0]}[{written}]{self.end}" if self.end else f"[{written}]"

    def form(self, held: HeldTools) -> CallForm | None:
        calls = g.either(*(_held_call(tool, held) for tool in held.schemas))
        opening, end = (self.markers[0], self.end) if self.end else ("", "")
        return CallForm(opening, g.sequence(g.text("["), listed(calls, ", ", several=held.several), g.text(f"]{end}")))


def _typed(call: WrittenCall, schema: Mapping[str, Any]) -> WrittenCall:
    """The call with what its schema wants instead of strings, since templates of Llama 4 quote all values."""
    return WrittenCall(call.name, {key: unquoted(value, schema, key) for key, value in call.arguments.items()})


def _held_call(tool: str, held: HeldTools) -> Grammar:
    """A call of a tool, whose values are written as JSON, which is also Python, apart from its constants."""
    if not _DOTTED_NAME.fullmatch(tool):
        raise UnwritableCall(f"{tool!r} is not a name in Python")
    root = held.schemas[tool]
    arguments = arguments_of(tool, held)

    def argument(item: HeldArgument | None) -> Grammar:
        if item is None:
            raise UnwritableCall(f"the arguments of {tool!r} have no names in its schema")
        if not item.name.isidentifier() or keyword.iskeyword(item.name):
            raise UnwritableCall(f"the argument {item.name!r} of {tool!r} is not a name in Python")
        try:
            schema = with_definitions(item.schema, root)
        except UnwritableSchema as error:
            schema = with_definitions(loosened(tool, item.name, item.schema, held, error), root)
        return g.sequence(g.text(f"{item.name}="), g.json_value(schema))

    return g.sequence(g.text(f"{tool}("), arguments.written(argument, ", "), g.text(")"))


def read_calls(text: str, start: int, *, several: bool, ended: bool) -> tuple[list[WrittenCall], int]:
    """The calls at `start`, a list of them if `several`, and where they end. Raises IncompleteCall or MalformedCall."""
    end = _end_of(text, start)
    if end is None:
        raise MalformedCall("the call is incomplete") if ended else IncompleteCall()
    try:
        node = ast.parse(text[start:end].strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise MalformedCall("not Python") from None
    if isinstance(node, ast.List) == several:
        nodes = node.elts if isinstance(node, ast.List) else [node]
        return [_call_of(item) for item in nodes], end
    raise MalformedCall("a list is missing" if several else "a single call is missing")


def _end_of(text: str, start: int) -> int | None:
    """Where the brackets that open at `start` are closed; None if the text ends earlier. Raises MalformedCall."""
    if not _START.match(text, start):
        possible = _POSSIBLE_START.match(text, start)
        if possible is None or possible.end() < len(text):
            raise MalformedCall("no call")
        return None
    depth, at = 0, start
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            if "\n" in text[at:]:
                raise MalformedCall("a string that does not end")
            return None
        depth += (text[at] in "[({") - (text[at] in "])}")
        at = piece.end()
        if text[at - 1] in "])}" and depth == 0 and len(piece[0]) == 1:
            return at
    return None


def _call_of(node: ast.expr) -> WrittenCall:
    if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise MalformedCall("not a call with named arguments")
    return WrittenCall(
        ast.unparse(node.func), {str(keyword.arg): _value_of(keyword.value) for keyword in node.keywords}
    )


def _value_of(node: ast.expr) -> Any:
    match node:
        case ast.Name(id=name) if name in _JSON_CONSTANTS:
            return _JSON_CONSTANTS[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value_of(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {str(_value_of(key)): _value_of(value) for key, value in zip(keys, values, strict=True) if key}
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        raise MalformedCall("an argument is not a value") from None
    if isinstance(value, str | int | float | bool | None):
        return value
    raise MalformedCall("an argument is not a value of JSON")


PYTHONIC = Pythonic("pythonic", ("[",), at_start=True, template_words=("func_name1(",), is_written_exactly=False)
LFM = Pythonic(
    "lfm",
    ("<|tool_call_start|>",),
    end="<|tool_call_end|>",
    template_words=("<|tool_call_start|>", "<|tool_list_start|>", "List of tools: ["),
    is_written_exactly=False,
)
