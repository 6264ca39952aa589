"""Reads the messages of functionary 3.2: each begins with its recipient, which is all or the tool that is called.

Source: the chat template on the model's card, whose prompts end with `>>>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workers.toolkit.chat.detokenizer import possible_start
from workers.toolkit.chat.output_parser import OutputPiece, SpaceTrimmer, TextPiece
from workers.toolkit.chat.tool_formats.base import Cursor, MalformedCall, ToolFormat, WrittenCall
from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, Schemas, either_call

_BEGIN = ">>>"
ALL = "all\n"
"""The header of a message to the user, behind the mark that begins it."""


@dataclass(frozen=True, slots=True)
class Recipients(ToolFormat):
    """Calls are messages to a tool, with JSON. `RecipientReader` reads them, since every answer has a recipient."""

    def fits(self, template: str) -> bool:
        return f"{_BEGIN}all" in template

    def form(self, held: HeldTools) -> CallForm | None:
        return CallForm("", either_call(held.schemas, lambda name: f"{name}\n", ""), _BEGIN)


RECIPIENTS = Recipients("recipients", (_BEGIN,), at_start=True)


def begins_message(prompt: str) -> bool:
    """Whether an answer to this prompt begins with its recipient. It does not where it continues a message."""
    return not prompt or prompt.endswith(_BEGIN)


class RecipientReader:
    """Messages to a tool are calls, and everything else is the answer."""

    is_thinking = False

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._headers = [f"{_BEGIN}{name}\n" for name in ("all", *schemas)]
        self._held, self._header = _BEGIN, ""  # the prompt ends with the first mark
        self._is_first = True
        self._call = ""  # the text so far of the call that is being read
        self._text = SpaceTrimmer(at_start=False)

    def push(self, text: str) -> Iterator[OutputPiece]:
        """Add text. Yields the answer as it grows, and calls that are complete."""
        self._held += text
        while True:
            place, header = min(((p, h) for h in self._headers if (p := self._held.find(h)) >= 0), default=(-1, ""))
            length = place if header else len(self._held) - possible_start(self._held, self._headers)
            yield from self._content(length)
            if not header:
                return
            yield from self._end_message()
            self._header, self._held = header, self._held[len(header) :]
            self._is_first = False

    def flush(self) -> Iterator[OutputPiece]:
        """Yield what was held back: the last call, or text that ends like a header."""
        yield from self._content(len(self._held))
        yield from self._end_message()
        if space := self._text.flush():
            yield TextPiece(space)

    @property
    def _function(self) -> str:
        name = self._header.removeprefix(_BEGIN).removesuffix("\n")
        return name if name in self._schemas else ""

    def _content(self, length: int) -> Iterator[OutputPiece]:
        text, self._held = self._held[:length], self._held[length:]
        if text and self._is_first:  # no header came, so the mark of the prompt is no part of the answer
            text, self._is_first = text.removeprefix(_BEGIN), False
        if self._function:
            self._call += text
        elif said := self._text.push(text):
            yield TextPiece(said)

    def _end_message(self) -> Iterator[OutputPiece]:
        if not (name := self._function):
            return
        text, self._call = self._call, ""
        cursor = Cursor(text, self._schemas, ended=True)
        try:
            arguments = cursor.json()
        except MalformedCall:
            arguments = None
        if isinstance(arguments, dict):
            self._text.cut()
            yield WrittenCall(name, arguments)
            text = text[cursor.at :]
        else:
            text = f"{name}\n{text}"
        self._header = ""
        if said := self._text.push(text):
            yield TextPiece(said)
