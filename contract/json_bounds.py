"""Bounds the structure of a JSON body before it is parsed, and finds strings and brackets without parsing.

A parsed value can take a hundred times the memory of its text (an empty list: 270 bytes for two). The functions here
read in windows, between which other threads run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from contract.errors import BadRequest

MAX_PARTS = 50_000
"""Objects, lists and fields in one body."""
MAX_VALUES = 400_000
"""Values in one body; a request for embeddings may have 300,000 token ids."""

_WINDOW = 64 * 1024
_HARMLESS = 4 * 1024
"""Bytes of a body that is too small to be expensive."""
_TOKEN = re.compile(rb'["{}\[\]]')
_REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


def check_json(body: bytes) -> None:
    """Raise BadRequest if a JSON text has too many values. Invalid JSON passes: the parser rejects it."""
    if has_too_many_values(body):
        message = f"The body has too many values: at most {MAX_VALUES} in lists, and {MAX_PARTS} objects, lists and"
        raise BadRequest(f"{message} fields. Split the request.")


def has_too_many_values(body: bytes) -> bool:
    """Whether a JSON text has more values than the limits allow."""
    return len(body) > _HARMLESS and _exceeds(_windows(body)) and _exceeds(_outside_strings(body))


def _exceeds(pieces: Iterator[bytes]) -> bool:
    """Whether pieces of a JSON text have more values than the limits allow."""
    parts = values = 0
    for piece in pieces:
        parts += piece.count(b"{") + piece.count(b"[") + piece.count(b":")
        values += piece.count(b",")
        if parts > MAX_PARTS or values > MAX_VALUES:
            return True
    return False


def _windows(body: bytes) -> Iterator[bytes]:
    return (body[start : start + _WINDOW] for start in range(0, len(body), _WINDOW))


def _outside_strings(body: bytes) -> Iterator[bytes]:
    """The pieces of a JSON text that are not in strings; each string is replaced by a comma, so that it counts."""
    # Counts commas and brackets at the speed of the C library; a loop over the strings would take 50 times as long.
    in_string, rest = False, b""
    for window in _windows(body):
        piece = (rest + window).replace(b"\\\\", b"").replace(b'\\"', b"")
        rest = b"\\" if piece.endswith(b"\\") else b""
        pieces = piece.removesuffix(rest).split(b'"')
        yield b",".join(pieces[in_string::2])
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
