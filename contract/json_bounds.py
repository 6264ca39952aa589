"""Bounds the structure of a JSON body before it is parsed, and finds strings and brackets without parsing.

A parsed value can take a hundred times the memory of its text (an empty list: 270 bytes for two), and the parser keeps
the interpreter's lock until it has read all that is not in strings. The functions here read in windows, between which
other threads run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from contract.errors import BadRequest

MAX_PARTS = 50_000
"""Objects, lists and fields in one body."""
MAX_VALUES = 400_000
"""Values in one body; a request for embeddings may have 300,000 token ids."""

MAX_STRINGS = 150_000
"""Strings in one body, names of fields included."""
MAX_OUTSIDE = 4 * 2**20
"""Bytes outside of strings in one body: numbers, white space and punctuation. 300,000 token ids take about half."""
MAX_NUMBER = 64
"""Characters of a number in a large body. Reading one takes time that grows with the square of its length."""

_WINDOW = 64 * 1024
_HARMLESS = 4 * 1024
"""Bytes of a body that is too small to be expensive."""
_LARGE = 256 * 1024
"""Bytes of a body in which all bounds are checked; in a smaller one, the numbers of values suffice."""
_TOKEN = re.compile(rb'["{}\[\]]')
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NUMERALS = bytes(ord("0") if byte in b"-+.0123456789eE" else byte for byte in range(256))
_LONG_NUMBER = b"0" * (MAX_NUMBER + 1)


def check_json(body: bytes) -> None:
    """Raise BadRequest if a JSON text exceeds a bound. Invalid JSON passes: the parser rejects it."""
    if excess := excess_in(body):
        raise BadRequest(f"The body has too {excess}.")


def excess_in(body: bytes) -> str | None:
    """What a JSON text has too much of, and what to do; None if it keeps to all bounds."""
    if len(body) <= _HARMLESS or (len(body) <= _LARGE and not _has_too_many_values(body)):
        return None
    counts = _Counts()
    return next((excess for piece, strings in _outside_strings(body) if (excess := counts.add(piece, strings))), None)


def _has_too_many_values(body: bytes) -> bool:
    """Whether a text has too many values, if all that looks like one in its strings is counted."""
    parts = body.count(b"{") + body.count(b"[") + body.count(b":")
    return parts > MAX_PARTS or body.count(b",") > MAX_VALUES


class _Counts:
    """What is outside of strings in the pieces of a JSON text so far, and the number of strings between them."""

    def __init__(self) -> None:
        self._parts = self._values = self._strings = self._size = 0
        self._number = b""  # the end of the last piece, in which a number may have begun

    def add(self, piece: bytes, strings: int) -> str | None:
        """Count another piece; returns what is too much now, in words."""
        self._parts += piece.count(b"{") + piece.count(b"[") + piece.count(b":")
        self._values += piece.count(b",")
        self._strings += strings
        self._size += len(piece)
        numerals = (self._number + piece).translate(_NUMERALS)
        self._number = piece[-MAX_NUMBER:]
        if self._parts > MAX_PARTS or self._values > MAX_VALUES or self._strings > MAX_STRINGS:
            message = f"many values: at most {MAX_VALUES} in lists, {MAX_STRINGS} strings, and {MAX_PARTS} objects,"
            return f"{message} lists and fields. Split the request"
        if self._size > MAX_OUTSIDE:
            return f"much outside of strings: at most {MAX_OUTSIDE // 2**20} MiB of numbers and white space. Send less"
        if _LONG_NUMBER in numerals:
            return f"long numbers: at most {MAX_NUMBER} characters in a large body. Round them"
        return None


def _outside_strings(body: bytes) -> Iterator[tuple[bytes, int]]:
    """The pieces of a JSON text that are not in strings, and about how many strings each piece has.

    Each string is replaced by a comma, so that it counts.
    """
    # Counts commas and brackets at the speed of the C library; a loop over the strings would take 50 times as long.
    in_string, rest = False, b""
    for start in range(0, len(body), _WINDOW):
        window = body[start : start + _WINDOW]
        if in_string and not rest and b'"' not in window and b"\\" not in window:
            continue  # such as most of an image
        piece = (rest + window).replace(b"\\\\", b"").replace(b'\\"', b"")
        rest = b"\\" if piece.endswith(b"\\") else b""
        pieces = piece.removesuffix(rest).split(b'"')
        yield b",".join(pieces[in_string::2]), len(pieces) // 2
        in_string ^= len(pieces) % 2 == 0


def tokens(body: bytes, position: int = 0) -> Iterator[tuple[int, int]]:
    """The spans of all strings, with their quotes, and of all brackets outside of strings."""
    while position < len(body):
        token = _TOKEN.search(body, position, position + _WINDOW)
        if token is None:
            position += _WINDOW
            continue
        start, position = token.span()
        if body[start] == _QUOTE:
            position = closing_quote(body, start) or len(body)
        yield start, position


_QUOTE = ord('"')


def closing_quote(body: bytes, start: int) -> int | None:
    """The index after the closing quote of the string that begins at `start`; None if there is none."""
    end = body.find(b'"', start + 1)
    if end < 0:
        return None
    position = body.find(b"\\", start + 1, end)
    if position < 0:
        return end + 1
    while position < len(body):
        end = _end_of_match(body, position)
        if body[end : end + 1] == b'"':
            return end + 1
        if end == position:
            break  # a backslash is the last byte
        position = end
    return None


def _end_of_match(body: bytes, position: int) -> int:
    match = _REST_OF_STRING.match(body, position, position + _WINDOW)
    assert match is not None  # it matches the empty text
    return match.end()
