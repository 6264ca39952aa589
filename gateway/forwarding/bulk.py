"""Carries large values of a JSON text past a translation: they are neither decoded nor encoded again.

Each is replaced by a short text, which the translation moves; in the translated JSON, the value replaces the text.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from contract.arrays import Array

SMALLEST = 1024
"""Bytes of the smallest value that is carried past; smaller ones are parsed as all others."""

_IMAGES = frozenset({"b64_json", "screenshot_base64"})
"""Names of fields that hold an image as base64."""

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_NUMBERS = rb"\[[\[\]0-9eE+\-.,\s]*\]"


class Bulk:
    """The large values of some JSON texts. `keys` are the names of the fields that may hold them."""

    def __init__(self, keys: frozenset[str]) -> None:
        # Random, so that no text in an answer is mistaken for a value's.
        self._mark = secrets.token_hex(8).encode()
        self._values: list[bytes] = []
        names = b"|".join(re.escape(key).encode() for key in sorted(keys))
        self._field = re.compile(rb'("(?:%b)"\s*:\s*)(%b|%b)' % (names, _STRING, _NUMBERS)) if keys else None
        self._text = re.compile(rb'"%b:(\d+);"|%b:(\d+);' % (self._mark, self._mark))

    def take_out(self, body: bytes) -> bytes:
        """The JSON text with a short text in place of each large value."""
        return self._field.sub(self._taken, body) if self._field and len(body) >= SMALLEST else body

    @property
    def size(self) -> int:
        """The bytes of the values."""
        return sum(map(len, self._values))

    def _taken(self, field: re.Match[bytes]) -> bytes:
        if field.end(2) - field.start(2) < SMALLEST:
            return field[0]
        self._values.append(field[2])
        return b'%b"%b:%d;"' % (field[1], self._mark, len(self._values) - 1)

    def put_back(self, body: bytes) -> bytes:
        """The JSON text with each value in place of its text, also inside a longer text."""
        return b"".join(self._pieces(body)) if self._values else body

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        position = 0
        for text in self._text.finditer(body):
            yield body[position : text.start()]
            yield self._values[int(text[1])] if text[1] else self._values[int(text[2])][1:-1]
            position = text.end()
        yield body[position:]


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
