"""Writes large requests as JSON in short steps, between which other threads run.

pydantic's serializer keeps the interpreter's lock until it has written everything. Here, long texts and lists are
written piece by piece.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from contract.long_texts import PIECE, joined

_SHORTEST = 64
"""Characters of the shortest text that is written by itself."""
_ITEMS = 1024
"""Items of a list that are written at once."""
_LEAF = (str, int, float, type(None))


def json_pieces(model: BaseModel) -> list[bytes]:
    """The fields of a model that were set, as JSON: pieces of one text."""
    uploads = {name: _as_text(value) for name, value in (model.model_extra or {}).items() if _is_upload(value)}
    value = model.model_dump(mode="json", exclude_unset=True, exclude=set(uploads) or None)
    return list(_gathered(_written({**value, **uploads})))


def _is_upload(value: Any) -> bool:
    """Whether an unknown field of a form is a file, or several."""
    return isinstance(value, bytes) or (isinstance(value, list) and any(isinstance(part, bytes) for part in value))


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(part) for part in value]
    if not isinstance(value, bytes):
        return value
    size = 3 * PIECE
    return joined(
        base64.urlsafe_b64encode(value[start : start + size]).decode() for start in range(0, len(value), size)
    )


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each takes time when it is sent, and when it is freed."""
    held = bytearray()
    for piece in pieces:
        if len(held) + len(piece) > PIECE:
            yield bytes(held)
            held.clear()
        held += piece
    yield bytes(held)


def _written(value: Any) -> Iterator[bytes]:
    """A value of JSON, in pieces."""
    if isinstance(value, str) and len(value) >= _SHORTEST:
        yield from _text(value)
    elif isinstance(value, dict):
        yield b"{"
        for number, (name, item) in enumerate(value.items()):
            if number:
                yield b","
            yield from _written(name)
            yield b":"
            yield from _written(item)
        yield b"}"
    elif isinstance(value, list):
        yield b"["
        yield from _items(value)
        yield b"]"
    else:
        yield to_json(value, inf_nan_mode="null")


def _items(items: list[Any]) -> Iterator[bytes]:
    """The items of a list, with commas between them; many short ones are written together."""
    for start in range(0, len(items), _ITEMS):
        window = items[start : start + _ITEMS]
        if start:
            yield b","
        if all(isinstance(item, _LEAF) and not (isinstance(item, str) and len(item) >= _SHORTEST) for item in window):
            yield to_json(window, inf_nan_mode="null")[1:-1]
            continue
        for number, item in enumerate(window):
            if number:
                yield b","
            yield from _written(item)


def _text(text: str) -> Iterator[bytes]:
    yield b'"'
    for start in range(0, len(text), PIECE):
        yield to_json(text[start : start + PIECE])[1:-1]
    yield b'"'
