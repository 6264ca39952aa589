"""Parses large JSON bodies in short steps, between which other threads run.

pydantic's parser keeps the interpreter's lock until it has parsed a whole body: for 60 MB of text half a second. Here,
long strings are cut out of the body before it is parsed, decoded piece by piece, and put back into the values.
"""

from __future__ import annotations

import re
import secrets
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import chain
from typing import Any

from pydantic_core import from_json

from contract.errors import BadRequest
from contract.json_bounds import check_json, closing_quote
from contract.limits import MAX_WIDE
from contract.long_texts import PIECE, ascii_pieces, joined, too_much_text

WHOLE = 256 * 1024
"""Bytes of the largest body that is parsed at once: in at most two milliseconds, and faster than in steps."""

_SHORTEST, _LONGEST = 16, 4096
"""Bytes of the shortest string that is ever cut out, and of the longest that may stay."""
_STAYS = 2**20
"""Bytes of strings that stay in a body, unless it has so many that all of them are short."""

_NAMES = 4 * 2**20
"""Characters of all long names of fields: the library that writes requests copies each name, without a pause."""

_QUOTE = b'"'
_POSITION = re.compile(r" at line (\d+) column (\d+)$")
_CHARACTER = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.|[\xc0-\xff][\x80-\xbf]{1,3}|.", re.DOTALL
)
"""One character as JSON writes it: a surrogate pair, an escape, a sequence of UTF-8, or a byte."""
_LONGEST_CHARACTER = 12
_TEXT_OR_CONTAINER = (str, list, dict)


def parse_json(body: bytes) -> Any:
    """The value of a JSON text. Raises BadRequest if it has too many values, too much text, or is no JSON."""
    try:
        return parse_checked(body)
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}. Send UTF-8 JSON.") from None


def parse_checked(body: bytes) -> Any:
    """The value of a JSON text. Raises BadRequest if it has too many values or too much text, and the parser's
    ValueError, with the position in `body`, if it is no JSON."""
    check_json(body)
    if len(body) <= WHOLE:
        return from_json(body)
    parts = _Parts(body)
    try:
        document = _parsed(parts.cut())
    except ValueError as error:
        raise ValueError(parts.with_position(str(error))) from None
    return parts.filled(document)


def _parsed(text: bytes) -> Any:
    # The parser's cache of short strings takes four times as long as it saves where each string is another one.
    return from_json(text, cache_strings="keys")


class _Parts:
    """A JSON text, its long strings, and what is left of it without them.

    Each string that is cut out is replaced by a name, which is random, so that no other string is mistaken for it. Of a
    string that is broken, the first broken piece stays, and what follows the string is left out: the parser finds the
    same error in what is left as in the body. (Of a string that is broken twice, it may find the other error.)
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._mark = secrets.token_urlsafe(6)
        self._texts: list[str] = []
        self._wide = self._names = 0
        self._left = bytearray()
        self._copied = 0
        self._is_broken_off = False
        # Where the stretches of the body that stay begin: in what is left, and in the body. Arrays, because there may
        # be hundreds of thousands.
        self._starts, self._origins = array("q", [0]), array("q", [0])

    def cut(self) -> bytes:
        """Cut the long strings out; returns what is left of the body."""
        if all(self._decode_batch(batch) for batch in self._batches()):
            self._left += self._body[self._copied :]
        return bytes(self._left)

    def filled(self, value: Any) -> Any:
        """A parsed value with the long strings in place of their names."""
        if isinstance(value, str):
            return self._texts[int(value[len(self._mark) :])] if value.startswith(self._mark) else value
        if isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, _TEXT_OR_CONTAINER):
                    value[index] = self.filled(item)
        elif isinstance(value, dict):
            if any(key.startswith(self._mark) for key in value):
                return {self._name(key): self.filled(item) for key, item in value.items()}
            for key, item in value.items():
                if isinstance(item, _TEXT_OR_CONTAINER):
                    value[key] = self.filled(item)
        return value

    def _name(self, key: str) -> str:
        """A field's name in place of its own name. Raises BadRequest for too many long ones."""
        name: str = self.filled(key)
        if name is not key:
            self._names += len(name)
            if self._names > _NAMES:
                raise BadRequest(f"The names of the fields have more than {_NAMES} characters. Send shorter ones.")
        return name

    def with_position(self, error: str) -> str:
        """The parser's message about what is left, with the position in the body."""
        match = _POSITION.search(error)
        if not match:
            return error
        start_of_line = 0
        for _ in range(int(match[1]) - 1):
            start_of_line = self._left.index(b"\n", start_of_line) + 1
        index = start_of_line + int(match[2]) - 1
        if index == len(self._left) - 1 and not self._is_broken_off:
            origin = len(self._body) - 1  # also if the body ends in a string, of which nothing is left
        else:
            stretch = bisect_right(self._starts, index) - 1
            origin = self._origins[stretch] + index - self._starts[stretch]
        # The parser counts a line break as column 0 of the line that it begins.
        line = self._body.count(b"\n", 0, origin + 1) + 1
        column = origin - self._body.rfind(b"\n", 0, origin + 1)
        return f"{error[: match.start()]} at line {line} column {column}"

    def _batches(self) -> Iterator[list[tuple[int, int]]]:
        """The spans of the strings to cut out: each longer one alone, shorter ones together, a piece at a time."""
        batch: list[tuple[int, int]] = []
        size = 0
        for start, end in _strings(self._body, self._threshold()):
            if size + end - start > PIECE:
                yield batch
                batch, size = [], 0
            batch.append((start, end))
            size += end - start
        yield batch

    def _threshold(self) -> int:
        """Bytes from which strings are cut out: the more strings there are, the shorter."""
        count = sum(self._body.count(_QUOTE, at, at + PIECE) for at in range(0, len(self._body), PIECE)) // 2
        return max(_SHORTEST, min(_LONGEST, _STAYS // max(count, 1)))

    def _decode_batch(self, batch: list[tuple[int, int]]) -> bool:
        """Cut out strings that have at most a piece together, or one; False if one is broken, and is the last."""
        body = self._body
        if len(batch) == 1:
            return self._decode_alone(*batch[0])
        try:
            texts = _parsed(b"[%b]" % b",".join([body[start:end] for start, end in batch]))
        except ValueError:
            return all(self._decode_alone(start, end) for start, end in batch)
        for (start, end), text in zip(batch, texts, strict=True):
            self._replace(start, end, text)
        return True

    def _decode_alone(self, start: int, end: int) -> bool:
        """Cut out a string, decoded piece by piece; False if it is broken."""
        body = self._body
        is_closed = end < len(body) or closing_quote(body, start) is not None
        last = end - is_closed
        at = plain = start + 1
        pieces: list[str] = []
        while at < last:
            following = end_of_piece(body, at, last)
            try:
                piece = from_json(b'"%b"' % body[at:following])
            except ValueError:
                break
            if len(piece) == following - at and not pieces:
                plain = following  # it is written as it is, so it need not be kept
            else:
                pieces.append(piece)
            at = following
        if is_closed and at == last:
            self._replace(start, end, joined(chain(ascii_pieces(memoryview(body)[start + 1 : plain]), pieces)))
            return True
        self._break_off(start, at, last, is_closed)
        return False

    def _replace(self, start: int, end: int, text: str) -> None:
        """Put a name in place of the string from `start` to `end`."""
        if not text.isascii():
            self._wide += len(text)
            if self._wide > MAX_WIDE:
                raise too_much_text()
        self._left += self._body[self._copied : start]
        self._left += b'"%b%d"' % (self._mark.encode(), len(self._texts))
        self._texts.append(text)
        self._skip_to(end)

    def _break_off(self, start: int, broken: int, last: int, is_closed: bool) -> None:
        """Leave of the string at `start` the piece at `broken` and the one after it; `last` is where the text ends."""
        self._left += self._body[self._copied : start + 1]
        self._skip_to(broken)
        end = end_of_piece(self._body, broken, last, 2 * PIECE)
        self._left += self._body[broken:end]
        self._is_broken_off = is_closed or end < last
        if self._is_broken_off:
            self._left += _QUOTE

    def _skip_to(self, origin: int) -> None:
        """Let what is left go on with the body's byte at `origin`."""
        self._starts.append(len(self._left))
        self._origins.append(origin)
        self._copied = origin


def _strings(body: bytes, shortest: int) -> Iterator[tuple[int, int]]:
    """The spans of all strings of at least `shortest` bytes, with their quotes; the last may have no end."""
    start = body.find(_QUOTE)
    while start >= 0:
        end = closing_quote(body, start) or len(body)
        if end - start >= shortest:
            yield start, end
        start = body.find(_QUOTE, end)


def end_of_piece(body: bytes, start: int, last: int, size: int | None = None) -> int:
    """The index at which a piece of a string's text ends that begins at `start`: between two characters, and at most
    `size` bytes later. `last` is where the text ends."""
    limit = start + (size or PIECE)
    if last <= limit:
        return last
    # Far enough before the limit that a character which crosses it begins after that.
    position = max(start, limit - 4 * _LONGEST_CHARACTER)
    backslashes = position - start - len(body[start:position].rstrip(b"\\"))
    position -= backslashes % 2
    for character in _CHARACTER.finditer(body, position, min(last, limit + _LONGEST_CHARACTER)):
        if character.end() > limit:
            break
        position = character.end()
    return position
