"""Reads a JSON text as it arrives, and takes its large values out without copying them.

The pieces of a large value stay the chunks that the network delivered: copies of megabytes would cost more than the
rest of a translation.
"""

from __future__ import annotations

import re
from typing import Protocol

from gateway.forwarding.bulk import Bulk

SMALLEST = 1024
"""Bytes of the smallest value that is taken out; smaller ones are parsed as all others."""

_TAIL = 64
"""Bytes at the end of a chunk in which the next value's name may have begun."""

_QUOTE, _BRACE = b'"}'
_AFTER_NUMBERS = b"], \t\r\n"
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class BulkReader:
    """One JSON text, fed in chunks. Its large values are kept in `bulk`."""

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self._short: list[bytes] = []
        self._tail = b""
        self._value: _LargeValue | None = None

    def feed(self, chunk: bytes) -> None:
        """Read the next chunk."""
        text, self._tail = self._tail + chunk if self._tail else chunk, b""
        position = 0
        while position < len(text):
            position = self._find_value(text, position) if self._value is None else self._pass_value(text, position)

    def text(self) -> bytes:
        """The JSON text with a short text in place of each large value."""
        return b"".join([*self._short, *(self._value.pieces if self._value else ()), self._tail])

    def _find_value(self, text: bytes, position: int) -> int:
        """Look for a field that may hold a large value, from `position` on; the index that is next."""
        if self._bulk.field is None:
            self._short.append(text)
            return len(text)
        field = self._bulk.field.search(text, position)
        if field is None:
            # A name that is cut in two is found if it begins in the tail; otherwise its value is parsed as all others.
            tail = max(position, len(text) - _TAIL)
            self._short.append(text[position:tail])
            self._tail = text[tail:]
            return len(text)
        start = field.end()
        self._short.append(text[position:start])
        self._value = _LargeText() if text[start] == _QUOTE else _LargeList()
        return start

    def _pass_value(self, text: bytes, position: int) -> int:
        """Take the value that goes on at `position`; the index that is next."""
        value = self._value
        assert value is not None
        stop, is_complete = value.extent(text, position)
        value.pieces.append(text[position:stop])
        if not is_complete:
            self._tail = text[stop:]
            return len(text)
        is_bulk = value.is_bulk and sum(map(len, value.pieces)) >= SMALLEST
        self._short += [self._bulk.keep(value.pieces)] if is_bulk else value.pieces
        self._value = None
        return stop


class _LargeValue(Protocol):
    """A value, in the pieces in which it arrives."""

    pieces: list[bytes]
    is_bulk: bool

    def extent(self, text: bytes, position: int) -> tuple[int, bool]:
        """The index up to which the text from `position` on belongs to the value, and whether that is its end.

        If not, the rest of the text comes again, with the next chunk.
        """


class _LargeText:
    is_bulk = True

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def extent(self, text: bytes, position: int) -> tuple[int, bool]:
        start = position if self.pieces else position + 1  # after the opening quote
        quote = text.find(b'"', start)
        backslash = text.find(b"\\", start, quote if quote >= 0 else len(text))
        if backslash < 0:
            return (quote + 1, True) if quote >= 0 else (len(text), False)
        rest = _REST_OF_STRING.match(text, backslash)
        assert rest is not None  # it matches the empty text
        end = rest.end()
        return (end + 1, True) if text[end : end + 1] == b'"' else (end, False)


class _LargeList:
    """A list that holds only numbers and such lists. Any other one is noticed at its first text or object."""

    is_bulk = True

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def extent(self, text: bytes, position: int) -> tuple[int, bool]:
        following = [index for mark in (b'"', b"}") if (index := text.find(mark, position)) >= 0]
        if not following:
            return max(position, len(text.rstrip(_AFTER_NUMBERS))), False
        mark = min(following)
        end = text.rfind(b"]", position, mark) + 1
        between = text[end:mark].strip() if end else None
        # The end of the object follows its last value. The name of its next field and a text in the list look alike.
        self.is_bulk = (
            between == b"" if text[mark] == _BRACE else between == b"," and self._is_closed(text[position:end])
        )
        return (end if self.is_bulk else mark), True

    def _is_closed(self, rest: bytes) -> bool:
        pieces = [*self.pieces, rest]
        return sum(piece.count(b"[") for piece in pieces) == sum(piece.count(b"]") for piece in pieces)
