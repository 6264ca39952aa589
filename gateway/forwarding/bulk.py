"""Carries large values of a JSON text past a translation: they are neither decoded nor encoded again.

Each is replaced by a short text, which the translation moves; in the translated JSON, the value replaces the text.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from contract.arrays import Array

_IMAGES = frozenset({"b64_json", "screenshot_base64"})
"""Names of fields that hold an image as base64."""

_LARGE = 16 * 1024
"""Bytes from which on it costs less to send a piece on its own than to copy it."""


_TEXT = re.compile(rb'"([0-9a-f]{16}):(\d+);"|([0-9a-f]{16}):(\d+);')
"""What stands for a value, after the mark of its answer. A pattern with the mark would have to be made for each answer,
which takes a millisecond."""


class Bulk:
    """The large values of some JSON texts. `keys` are the names of the fields that may hold them.

    `field` matches the name of such a field, up to its value.
    """

    def __init__(self, keys: frozenset[str]) -> None:
        # Random, so that no text in an answer is mistaken for a value's.
        self._mark = secrets.token_hex(8).encode() if keys else b""
        self._values: list[Sequence[bytes]] = []
        self.field = _field(keys) if keys else None

    def keep(self, value: Sequence[bytes]) -> bytes:
        """Keep the pieces of a value; the JSON text that stands for it."""
        self._values.append(value)
        return b'"%b:%d;"' % (self._mark, len(self._values) - 1)

    def put_back(self, body: bytes) -> list[bytes]:
        """The JSON text, in pieces, with each value in place of its text, also inside a longer text."""
        return [*_joined(self._pieces(body))] if self._values else [body]

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        position = 0
        for text in _TEXT.finditer(body):
            if self._mark not in {text[1], text[3]}:
                continue
            yield body[position : text.start()]
            yield from self._values[int(text[2])] if text[1] else _unquoted(self._values[int(text[4])])
            position = text.end()
        yield body[position:]


@cache
def _field(keys: frozenset[str]) -> re.Pattern[bytes]:
    """Matches the name of one of these fields, up to its value."""
    names = b"|".join(re.escape(key).encode() for key in sorted(keys))
    return re.compile(rb'"(?:%b)"\s*:\s*(?=["\[])' % names)


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, with small ones joined to their neighbours."""
    group: list[bytes] = []
    size = 0
    for piece in pieces:
        if len(piece) >= _LARGE:
            yield b"".join(group)
            yield piece
            group, size = [], 0
        else:
            group.append(piece)
            size += len(piece)
            if size >= _LARGE:
                yield b"".join(group)
                group, size = [], 0
    yield b"".join(group)


def _unquoted(pieces: Sequence[bytes]) -> list[bytes]:
    """The pieces of a JSON string without its quotes, which may be in one piece."""
    first, *rest = pieces
    *others, last = [first[1:], *rest]
    return [*others, last[:-1]]


@cache
def bulk_keys(model: type[BaseModel]) -> frozenset[str]:
    """The names of a response's fields that may hold large values: arrays, and images as base64."""
    return frozenset(_keys(model, frozenset({model})))


def _keys(model: type[BaseModel], parents: frozenset[Any]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        for part in _parts(field.annotation):
            if part is Array or name in _IMAGES:
                yield name
            elif isinstance(part, type) and issubclass(part, BaseModel) and part not in parents:
                yield from _keys(part, parents | {part})


def _parts(annotation: Any) -> Iterator[Any]:
    """A type and the types inside it."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)
