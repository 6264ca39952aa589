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
from contract.json_bounds import tokens

SMALLEST = 1024
"""Bytes of the smallest value that is carried past; smaller ones are parsed as all others."""

_IMAGES = frozenset({"b64_json", "screenshot_base64"})
"""Names of fields that hold an image as base64."""

_QUOTE, _BRACE = b'"}'
_COLON = re.compile(rb"\s*:")


class Bulk:
    """The large values of some JSON texts. `keys` are the names of the fields that may hold them."""

    def __init__(self, keys: frozenset[str]) -> None:
        # Random, so that no text in an answer is mistaken for a value's.
        self._mark = secrets.token_hex(8).encode()
        self._values: list[bytes] = []
        names = b"|".join(re.escape(key).encode() for key in sorted(keys))
        self._field = re.compile(rb'"(?:%b)"\s*:\s*(?=["\[])' % names) if keys else None
        self._text = re.compile(rb'"%b:(\d+);"|%b:(\d+);' % (self._mark, self._mark))

    def take_out(self, body: bytes) -> bytes:
        """The JSON text with a short text in place of each large value."""
        if self._field is None or len(body) < SMALLEST:
            return body
        pieces: list[bytes] = []
        copied = position = 0
        while field := self._field.search(body, position):
            start, position = field.end(), _end_of_value(body, field.end())
            if position - start >= SMALLEST:
                pieces += [body[copied:start], b'"%b:%d;"' % (self._mark, len(self._values))]
                self._values.append(body[start:position])
                copied = position
        return b"".join([*pieces, body[copied:]])

    def put_back(self, body: bytes) -> list[bytes]:
        """The JSON text, in pieces, with each value in place of its text, also inside a longer text."""
        return [*self._pieces(body)] if self._values else [body]

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


def _end_of_value(body: bytes, start: int) -> int:
    """The index after the text or the list of numbers at `start`; just after `start` for any other list.

    Only searches for single characters, at the speed of the C library.
    """
    if body[start] == _QUOTE:
        return next(tokens(body, start))[1]
    # Before the next text or brace there are only lists, numbers and literals. In valid JSON, the list ends before it
    # if it is the end of the object, or the name of the object's next field.
    found = [index for character in b'"{}' if (index := body.find(character, start)) >= 0]
    following = min(found, default=start)
    is_name = body[following] == _QUOTE and _COLON.match(body, next(tokens(body, following))[1])
    return body.rfind(b"]", start, following) + 1 if is_name or body[following] == _BRACE else start + 1
