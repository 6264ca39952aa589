"""Takes a model's text apart as it is generated: into thoughts, calls of tools, and the answer itself."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from workers.toolkit.chat.detokenizer import possible_start
from workers.toolkit.chat.reasoning_formats import ReasoningFormat
from workers.toolkit.chat.tool_formats.base import (
    Cursor,
    IncompleteCall,
    MalformedCall,
    ToolFormat,
    WrittenCall,
)
from workers.toolkit.chat.tool_formats.call_pieces import ArgumentsPiece, CallEnd, CallStart, LongCall, find_long_call
from workers.toolkit.chat.tool_formats.held_calls import Schemas


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of the answer, or of a thought."""

    text: str
    is_thought: bool = False


OutputPiece = TextPiece | WrittenCall | CallStart | ArgumentsPiece | CallEnd


class OutputParser(Protocol):
    """Takes text as it is generated, in pieces of any length; joined, what comes out does not depend on the pieces."""

    @property
    def is_thinking(self) -> bool:
        """Whether the text so far ends inside a thought."""

    def push(self, text: str) -> Iterator[OutputPiece]:
        """Add text. Yields what is certain now."""

    def flush(self) -> Iterator[OutputPiece]:
        """Yield what was held back, after the last text."""


class PlainText:
    """Passes all text on, for models and requests without thoughts and tools."""

    is_thinking = False

    def push(self, text: str) -> Iterator[OutputPiece]:
        """Yield the text."""
        if text:
            yield TextPiece(text)

    def flush(self) -> Iterator[OutputPiece]:
        """Yield nothing: no text is held back."""
        yield from ()


class SpaceTrimmer:
    """Passes text on without the space at its two ends, which is unknown until more text follows."""

    def __init__(self, *, at_start: bool) -> None:
        self._is_start = at_start  # whether space that comes next is at the beginning
        self._held = ""

    def push(self, text: str) -> str:
        """Add text. Returns what can be passed on, which never ends in space."""
        if self._is_start:
            text = text.lstrip()
            self._is_start = not text
        text = self._held + text
        body = text.rstrip()
        self._held = text[len(body) :]
        return body

    def cut(self) -> None:
        """Forget the space before something that is not text, and drop the space behind it."""
        self._held, self._is_start = "", True

    def flush(self) -> str:
        """Return the space that was held back, where text that ends in space should keep it."""
        held, self._held = self._held, ""
        return held


class ThoughtReader:
    """Separates thoughts, which come before the answer, and gives the answer's text to another parser.

    Only the beginning of an answer can be a thought: further on, the same marks are text, since an answer may be about
    them. Space around thoughts belongs to neither side and is dropped.
    """

    def __init__(self, written: ReasoningFormat, rest: OutputParser, *, is_thinking: bool) -> None:
        self._begin, self._end, self._rest = written.begin.rstrip(), written.end, rest
        self._ends = [mark for mark in (written.end, written.before) if mark]
        self._skip = written.end if written.may_skip else ""
        self.is_thinking = is_thinking
        self._held = ""
        self._has_thought = is_thinking
        self._is_answering = False
        self._thought = SpaceTrimmer(at_start=True)

    def push(self, text: str) -> Iterator[OutputPiece]:
        """Add text. Yields thoughts, and what the other parser yields for the answer."""
        self._held += text
        is_advancing = True
        while is_advancing:
            if self.is_thinking:
                is_advancing = yield from self._think()
            elif self._is_answering:
                is_advancing, text, self._held = False, self._held, ""
                yield from self._rest.push(text)
            else:
                is_advancing = self._decide()

    def flush(self) -> Iterator[OutputPiece]:
        """Yield what was held back: a mark that is not complete is text."""
        text, self._held = self._held, ""
        if self.is_thinking:
            yield from self._thoughts(text)
        else:
            yield from self._rest.push(text.lstrip() if self._has_thought and not self._is_answering else text)
        yield from self._rest.flush()

    def _decide(self) -> bool:
        """Whether it is certain that a thought or the answer begins now."""
        text = self._held.lstrip()
        if text.startswith(self._begin):
            self._held = text[len(self._begin) :]
            self._has_thought = self.is_thinking = True
        elif self._skip and text.startswith(self._skip):
            self._held, self._is_answering = text[len(self._skip) :], True
        elif text and not (self._begin.startswith(text) or self._skip.startswith(text)):
            self._held = text if self._has_thought else self._held
            self._is_answering = True
        return self.is_thinking or self._is_answering

    def _think(self) -> Generator[OutputPiece, None, bool]:
        """Yield the thought so far. Returns whether it has ended."""
        places = [(place, mark) for mark in self._ends if (place := self._held.find(mark)) >= 0]
        has_ended = bool(places)
        length, mark = min(places, default=(len(self._held) - possible_start(self._held, self._ends), ""))
        yield from self._thoughts(self._held[:length])
        self._held = self._held[length + len(mark) * (mark == self._end) :]
        if has_ended:
            self._thought.cut()
            self.is_thinking = False
        return has_ended

    def _thoughts(self, text: str) -> Iterator[OutputPiece]:
        if thought := self._thought.push(text):
            yield TextPiece(thought, is_thought=True)


class CallReader:
    """Separates calls of tools from the text around them. What begins like a call and is none is text.

    Space between text and a call belongs to neither and is dropped.
    """

    is_thinking = False

    def __init__(self, written: ToolFormat, schemas: Schemas) -> None:
        self._format, self._schemas = written, schemas
        self._held = ""
        self._is_start = True  # whether nothing but space and calls came so far
        self._text = SpaceTrimmer(at_start=False)
        self._long: LongCall | None = None  # the call at the beginning of the held text, if it is passed on in pieces

    def push(self, text: str) -> Iterator[OutputPiece]:
        """Add text. Yields the calls that are complete, and text that cannot be part of a call."""
        self._held += text
        if self._long or len(self._held) < _SHORT or not _CLOSING.isdisjoint(text):
            yield from self._read(ended=False)

    def flush(self) -> Iterator[OutputPiece]:
        """Yield what was held back, after the last text: a last call, or the text of one that is cut off."""
        yield from self._read(ended=True)
        if space := self._text.flush():
            yield TextPiece(space)

    def _read(self, *, ended: bool) -> Iterator[OutputPiece]:
        while self._held:
            if self._long:
                if not (yield from self._read_long(self._long, ended=ended)):
                    return
                continue
            marker, place = self._next_marker()
            if place:
                length = place if marker else len(self._held) - (0 if ended else self._possible_marker())
                yield from self._say(length)
            if not marker:
                return
            self._long = find_long_call(self._format.head, self._held, self._schemas)
            if self._long:
                continue
            try:
                reading = self._format.read(Cursor(self._held, self._schemas, ended))
            except IncompleteCall:
                return
            except MalformedCall:
                yield from self._say(len(marker))
                continue
            self._held = self._held[reading.end :]
            self._text.cut()
            yield from reading.calls

    def _read_long(self, call: LongCall, *, ended: bool) -> Generator[OutputPiece, None, bool]:
        """Yield what is new of a long call. Returns whether it is complete, with the block that it is in."""
        if call.scanner.length == 0:
            self._text.cut()
            yield call.beginning
        if piece := call.push(self._held):
            yield ArgumentsPiece(piece)
        if not (call.scanner.is_done or call.scanner.has_failed or ended):
            return False
        end, more = call.end, []
        if call.scanner.is_done:
            try:
                reading = self._format.read(Cursor(self._held, self._schemas, ended))
                end, more = reading.end, list(reading.calls[1:])
            except IncompleteCall:
                return False
            except MalformedCall:
                pass  # what is behind the arguments is text
        self._long, self._held = None, self._held[end:]
        yield CallEnd()
        yield from more
        return True

    def _next_marker(self) -> tuple[str, int]:
        """The next marker and where it begins; an empty marker, and a place that is not 0, if there is none."""
        places = [(place, marker) for marker in self._markers() if (place := self._held.find(marker)) >= 0]
        if self._format.at_start:
            space = len(self._held) - len(self._held.lstrip())
            places = [(place, marker) for place, marker in places if place == space]
        place, marker = min(places, default=(-1, ""))
        return marker, place

    def _possible_marker(self) -> int:
        """The length of the end of the held text with which a marker may begin."""
        length = possible_start(self._held, self._markers())
        is_first = not self._held[: len(self._held) - length].strip()
        return length if is_first or not self._format.at_start else 0

    def _markers(self) -> Sequence[str]:
        return self._format.markers if self._is_start or not self._format.at_start else ()

    def _say(self, length: int) -> Iterator[OutputPiece]:
        """Yield the first characters of the held text, as text."""
        text, self._held = self._held[:length], self._held[length:]
        if said := self._text.push(text):
            self._is_start = False
            yield TextPiece(said)


_SHORT = 2000
"""Characters up to which a call is read again at every piece of text; a longer one only when it may be complete."""
_CLOSING = frozenset("}])>")
"""Characters of which every format has one at the end of its calls."""
