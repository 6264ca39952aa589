"""What a tool format is: how a family of models writes calls of tools into its text, and how such a call is read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workers.toolkit.chat.tool_formats.held_calls import CallForm, HeldTools, Schemas


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as the model wrote it. `id` is the model's own, for families whose ids have a meaning; else empty."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class CallReading:
    """The calls at the beginning of a text, and where the text behind them begins."""

    calls: Sequence[WrittenCall]
    end: int


class MalformedCall(Exception):
    """The text begins like a call but is none, whatever follows."""


class IncompleteCall(Exception):
    """More text is needed before it can be said what it is."""


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How a family of models writes calls. Subclasses read them.

    A call begins with one of `markers`, anywhere in the text; with `at_start`, only where the answer begins, since its
    marker is ordinary text. `tokens` are control tokens inside calls, which must survive detokenization; markers are
    added by themselves. `id_length` is the length of call ids if the chat template prescribes one.
    `head` is what is in front of the arguments of a block's first call, if they are JSON; it has the groups `name` (or
    `other`) and, if the model writes one, `id`.
    `is_written_exactly`: chat templates write calls as the model does, so that they can be read.
    """

    name: str
    markers: tuple[str, ...]
    at_start: bool = False
    tokens: tuple[str, ...] = ()
    id_length: int | None = None
    is_written_exactly: bool = True
    head: re.Pattern[str] | None = None

    def fits(self, template: str) -> bool:
        """Whether a chat template writes calls in this format."""
        return any(marker in template for marker in self.markers)

    def read(self, cursor: Cursor) -> CallReading:
        """Read the calls at the beginning of the cursor's text, which starts with a marker.

        Raises IncompleteCall if more text is needed, and MalformedCall if the text is no call. What it decides for a
        text must hold for every longer text, so that answers do not depend on how their text is split into pieces.
        """
        raise NotImplementedError

    def write(self, calls: Sequence[WrittenCall]) -> str | None:  # noqa: ARG002  (for subclasses)
        """Calls as the model writes them, for chat templates without a place for them; None if that is not known."""
        return None

    def form(self, held: HeldTools) -> CallForm | None:  # noqa: ARG002  (for subclasses)
        """The grammar of calls of these tools; None if answers cannot be held to it.

        Raises UnwritableCall with the reason if that is up to these tools.
        """
        return None


@dataclass(slots=True)
class Cursor:
    """A position in a text that is still growing. Its methods raise IncompleteCall where the text may go on.

    `ended` says that nothing will follow: a missing end marker is then forgiven.
    """

    text: str
    schemas: Schemas
    ended: bool
    at: int = 0

    def skip_space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, literal: str) -> bool:
        """Whether the literal comes next, behind any space; if so, go behind it."""
        self.skip_space()
        rest = self.text[self.at : self.at + len(literal)]
        if rest == literal:
            self.at += len(literal)
            return True
        if not self.ended and literal.startswith(rest):
            raise IncompleteCall
        return False

    def skip_marker(self, *markers: str) -> None:
        """Go behind the marker that comes next, if there is one."""
        marker = next((marker for marker in markers if self.text.startswith(marker, self.at)), "")
        self.at += len(marker)

    def expect(self, literal: str) -> None:
        """Go behind the literal. Raises MalformedCall if anything else comes next."""
        if not self.take(literal):
            raise MalformedCall(f"{literal!r} is missing")

    def close(self, literal: str) -> None:
        """Go behind an end marker, which may be missing at the end of the text."""
        self.skip_space()
        if not (self.ended and self.at >= len(self.text)):
            self.expect(literal)

    def until(self, *literals: str) -> str:
        """The text up to the first of the literals, behind which the cursor goes."""
        places = [(place, literal) for literal in literals if (place := self.text.find(literal, self.at)) >= 0]
        if not places:
            raise MalformedCall(f"{literals[0]!r} is missing") if self.ended else IncompleteCall()
        place, literal = min(places)
        content, self.at = self.text[self.at : place], place + len(literal)
        return content

    def rest_before(self, mark: str) -> str:
        """The text up to an end mark, or all of it where the mark is missing at the end."""
        if self.ended and mark not in self.text[self.at :]:
            rest, self.at = self.text[self.at :], len(self.text)
            return rest.strip()
        return self.until(mark).strip()

    def json(self) -> Any:
        """The JSON object or list that comes next. Raises MalformedCall if it is none."""
        self.skip_space()
        end = json_end(self.text, self.at)
        if end is None:
            raise MalformedCall("the JSON is incomplete") if self.ended else IncompleteCall()
        try:
            content = json.loads(self.text[self.at : end], strict=False)  # small models write raw line breaks
        except ValueError as error:
            raise MalformedCall(str(error)) from None
        self.at = end
        return content


_PIECE = re.compile(r"[{\[]|[}\]]|[\s,:]+|[-+.\w]+|\"[^\"\\]*(?:\\.[^\"\\]*)*\"", re.DOTALL)


def json_end(text: str, start: int) -> int | None:
    """Where the JSON object or list at `start` ends; None if the text ends earlier. Raises MalformedCall."""
    depth, at = 0, start
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            if text[at] == '"' and depth:
                return None
            raise MalformedCall(f"unexpected {text[at]!r}")
        if text[at] in "{[":
            depth += 1
        elif text[at] in "}]":
            depth -= 1
        if depth <= 0:
            if text[at] in "}]" and depth == 0:
                return piece.end()
            raise MalformedCall("neither an object nor a list")
        at = piece.end()
    return None


def is_inside_string(text: str) -> bool:
    """Whether JSON is cut off in the middle of a string."""
    return '"' in _STRING.sub("", text)


_STRING = re.compile(r"\"[^\"\\]*(?:\\.[^\"\\]*)*\"", re.DOTALL)


def calls_between(cursor: Cursor, begin: str, end: str, read_call: Callable[[Cursor], WrittenCall]) -> CallReading:
    """Read the calls that each start with `begin`, up to `end`. Raises MalformedCall if there is none."""
    calls = []
    while cursor.take(begin):
        calls.append(read_call(cursor))
    if not calls:
        raise MalformedCall("no call")
    cursor.close(end)
    return CallReading(calls, cursor.at)


def named_call(
    content: Any, names: Sequence[str] = ("name",), arguments: Sequence[str] = ("arguments", "parameters")
) -> WrittenCall:
    """The call in a JSON object like `{"name": …, "arguments": {…}}`. Raises MalformedCall if it is none."""
    if isinstance(content, dict) and isinstance(content.get("function"), dict):
        content = content["function"]
    if not isinstance(content, dict):
        raise MalformedCall("not an object")
    name = next((content[key] for key in names if key in content), None)
    values: Any = next((content[key] for key in arguments if key in content), {})
    if isinstance(values, str):
        try:
            values = json.loads(values, strict=False)
        except ValueError:
            raise MalformedCall("the arguments are no JSON") from None
    if not isinstance(name, str) or not name or not isinstance(values if values is not None else {}, dict):
        raise MalformedCall("no name, or arguments that are no object")
    return WrittenCall(name, values or {})
