"""Writes large requests as JSON in short steps, between which other threads run.

pydantic's serializer keeps the interpreter's lock until it has written everything. Here, long texts are taken out
before, and written piece by piece.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from contract.json_parser import PIECE


def json_pieces(model: BaseModel) -> list[bytes]:
    """The fields of a model that were set, as JSON: pieces of one text."""
    texts = _LongTexts()
    rest = texts.without(model.model_dump(mode="json", exclude_unset=True))
    return list(texts.pieces(to_json(rest, inf_nan_mode="null")))


_SHORTEST = 64
"""Characters of the shortest text that is taken out: a request may have hundreds of thousands of texts."""


class _LongTexts:
    """The long texts of a value; each has a name, which is random, so that no other text is mistaken for it."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(8)
        self._texts: list[str] = []

    def without(self, value: Any) -> Any:
        """The value with names in place of its long texts."""
        if isinstance(value, str):
            if len(value) < _SHORTEST:
                return value
            self._texts.append(value)
            return f"{self._mark}{len(self._texts) - 1}"
        if isinstance(value, dict):
            return {self.without(key): self.without(item) for key, item in value.items()}
        return [self.without(item) for item in value] if isinstance(value, list) else value

    def pieces(self, body: bytes) -> Iterator[bytes]:
        """The pieces of a JSON text, with the long texts in place of their names."""
        position = 0
        for name in re.finditer(rb"%b(\d+)" % self._mark.encode(), body):
            yield body[position : name.start()]
            text = self._texts[int(name[1])]
            for start in range(0, len(text), PIECE):
                yield to_json(text[start : start + PIECE])[1:-1]
            position = name.end()
        yield body[position:]
