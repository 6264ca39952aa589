"""Calls in Python's syntax: `[get_weather(city="Paris"), get_time()]`.

Sources: the prompt format of Llama 4 (llama.com/docs/model-cards-and-prompt-formats/llama4) and LFM2's model card.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from workers.toolkit.chat.tool_formats.base import (
    CallReading,
    Cursor,
    IncompleteCall,
    MalformedCall,
    ToolFormat,
    WrittenCall,
)

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
        return CallReading(calls, cursor.at)


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


PYTHONIC = Pythonic("pythonic", ("[",), at_start=True, template_words=("func_name1(params_name1=",))
LFM = Pythonic(
    "lfm",
    ("<|tool_call_start|>",),
    end="<|tool_call_end|>",
    template_words=("<|tool_call_start|>", "<|tool_list_start|>"),
)
