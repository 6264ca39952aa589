"""Calls of FunctionGemma and Gemma 4: `call:name{key:value}`, with a control token around each string.

Source: Google's documentation of the models' prompt formats (ai.google.dev/gemma/docs).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.tool_formats.base import (
    CallReading,
    Cursor,
    MalformedCall,
    ToolFormat,
    WrittenCall,
)
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools
from workers.toolkit.chat.tool_formats.quoted_values import QuotedValues

_NAME = re.compile(r"call:([\w.:-]+)\{")
_WORD = re.compile(r"[^,}\]\s]+")
_KEY = re.compile(r"\s*([^:{}\[\],]+?)\s*:")


@dataclass(frozen=True, slots=True)
class Gemma(ToolFormat):
    """`quote` encloses strings. Keys are bare; numbers, booleans, lists and objects are as in JSON."""

    end: str = ""
    quote: str = ""

    def read(self, cursor: Cursor) -> CallReading:
        cursor.skip_marker(*self.markers)
        body = cursor.rest_before(self.end)
        name = _NAME.match(body)
        if name is None:
            raise MalformedCall("no name")
        inner = Cursor(body, cursor.schemas, ended=True, at=name.end() - 1)
        arguments = self._value(inner)
        if not isinstance(arguments, dict) or body[inner.at :].strip():
            raise MalformedCall("the arguments are no object")
        return CallReading([WrittenCall(name[1], arguments)], cursor.at)

    def form(self, held: HeldTools) -> CallForm | None:
        calls = [
            g.sequence(
                g.text(f"call:{tool}"), QuotedValues(self.quote, self.end, tool, held).arguments(), g.text(self.end)
            )
            for tool in held.schemas
        ]
        return CallForm(self.markers[0], g.either(*calls), "")

    def _value(self, cursor: Cursor) -> Any:
        if cursor.take(self.quote):
            return cursor.until(self.quote)
        if cursor.take("{"):
            return dict(self._items(cursor, "}", self._pair))
        if cursor.take("["):
            return self._items(cursor, "]", self._value)
        return _word(cursor)

    def _pair(self, cursor: Cursor) -> tuple[str, Any]:
        if cursor.take(self.quote):
            key = cursor.until(self.quote)
            cursor.expect(":")
        else:
            bare = _KEY.match(cursor.text, cursor.at)
            if bare is None:
                raise MalformedCall("no key")
            key, cursor.at = bare[1].strip('"'), bare.end()
        return key, self._value(cursor)

    @staticmethod
    def _items(cursor: Cursor, end: str, item: Any) -> list[Any]:
        items: list[Any] = []
        while not cursor.take(end):
            if items:
                cursor.expect(",")
            items.append(item(cursor))
        return items


def _word(cursor: Cursor) -> Any:
    """A number, a boolean or null; any other bare word is a string."""
    word = _WORD.match(cursor.text, cursor.at)
    if word is None:
        raise MalformedCall("no value")
    cursor.at = word.end()
    try:
        return json.loads(word[0])
    except ValueError:
        return word[0]


FUNCTION_GEMMA = Gemma(
    "function_gemma", ("<start_function_call>",), tokens=("<escape>",), end="<end_function_call>", quote="<escape>"
)
GEMMA = Gemma("gemma4", ("<|tool_call>",), tokens=('<|"|>',), end="<tool_call|>", quote='<|"|>')
