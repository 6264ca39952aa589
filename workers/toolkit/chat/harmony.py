"""Reads the channels of gpt-oss: thoughts, calls and the answer are messages of one answer, each with a header.

Source: OpenAI's description of the harmony response format (cookbook.openai.com/articles/openai-harmony).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from workers.toolkit.chat.detokenizer import possible_start
from workers.toolkit.chat.output_parser import OutputPiece, TextPiece
from workers.toolkit.chat.tool_formats.base import ToolFormat, WrittenCall, is_inside_string
from workers.toolkit.chat.tool_formats.call_pieces import ArgumentsPiece, CallEnd, LongCall, find_long_call
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, Schemas, either_call

_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|channel|>")
_RECIPIENT = re.compile(r"to=functions\.([\w.:-]+)")
_HEADER_START = re.compile(r"\s*(<\|start\|>|<\|channel\|>|assistant|to=|<\|constrain\|>)")


@dataclass(frozen=True, slots=True)
class Harmony(ToolFormat):
    """Calls are messages to `functions.name`. `HarmonyReader` reads them, since they are part of the channels."""

    def fits(self, template: str) -> bool:
        return "to=functions." in template and "<|channel|>" in template

    def form(self, held: HeldTools) -> CallForm | None:
        return CallForm(
            self.markers[0], either_call(held.schemas, lambda name: f"{name} <|constrain|>json{_MESSAGE}", "")
        )


HARMONY_CALLS = Harmony("harmony", ("<|channel|>commentary to=functions.",), tokens=(_MESSAGE, *_ENDS, "<|constrain|>"))


class HarmonyReader:
    """The channel `analysis` has thoughts, messages to a function are calls, and everything else is the answer."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._held = ""
        self._header: str | None = None  # of the message that is being read; None while the header itself is
        self._call = ""  # the arguments so far of the call that is being read
        self._long: LongCall | None = None  # the call, if it is passed on in pieces

    @property
    def is_thinking(self) -> bool:
        """Whether the message that is being read is a thought."""
        return self._header is not None and "analysis" in self._header and not self._function

    @property
    def _function(self) -> str:
        recipient = _RECIPIENT.search(self._header or "")
        return recipient[1] if recipient and self._schemas else ""

    def push(self, text: str) -> Iterator[OutputPiece]:
        """Add text. Yields thoughts and the answer as they grow, and calls that are complete."""
        self._held += text
        while self._held:
            if self._header is None and not self._read_header():
                return
            place, mark = min(((p, m) for m in _ENDS if (p := self._held.find(m)) >= 0), default=(-1, ""))
            length = place if mark else len(self._held) - possible_start(self._held, _ENDS)
            content, self._held = self._held[:length], self._held[length:]
            yield from self._content(content)
            if not mark:
                return
            if self._function and is_inside_string(self._call):  # characters that spell the mark
                self._held = self._held[len(mark) :]
                yield from self._content(mark)
                continue
            self._held = self._held[len(mark) :]
            yield from self._end_message()
            self._header = None

    def flush(self) -> Iterator[OutputPiece]:
        """Yield what was held back: the last call, or text without a header."""
        text, self._held = self._held, ""
        if self._header is not None or not _HEADER_START.match(text):
            yield from self._content(text)
        yield from self._end_message()

    def _read_header(self) -> bool:
        """Read the header up to the message's text; whether that has begun. Text without a header is the answer."""
        place = self._held.find(_MESSAGE)
        if place >= 0:
            self._header, self._held = self._held[:place], self._held[place + len(_MESSAGE) :]
        elif len(self._held) > _LONGEST_MARK and not _HEADER_START.match(self._held):
            self._header = ""
        return self._header is not None

    def _content(self, text: str) -> Iterator[OutputPiece]:
        if self._function:
            self._call += text
            yield from self._long_call()
        elif text:
            yield TextPiece(text, is_thought=self.is_thinking)

    def _long_call(self) -> Iterator[OutputPiece]:
        """Yield what is new of a call with long arguments."""
        if self._long is None:
            self._long = find_long_call(_HEAD, self._call, self._schemas, name=self._function)
            if self._long is None:
                return
            yield self._long.beginning
        if piece := self._long.push(self._call):
            yield ArgumentsPiece(piece)

    def _end_message(self) -> Iterator[OutputPiece]:
        if not (name := self._function):
            return
        text, self._call = self._call, ""
        if self._long:
            self._long = None
            yield CallEnd()
            return
        try:
            arguments = json.loads(text, strict=False)
        except ValueError:
            arguments = None
        yield WrittenCall(name, arguments) if isinstance(arguments, dict) else TextPiece(text)


_HEAD = re.compile(r"\s*(?=\{)")
_LONGEST_MARK = max(map(len, (_MESSAGE, *_ENDS)))
