"""The words of texts, found one after another: splitting millions in one call would hold up the worker's event loop."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"\S+")


def words_of(text: str) -> Iterator[str]:
    """The words of a text."""
    return (match[0] for match in _WORD.finditer(text))


def count(text: str) -> int:
    """How many words a text has."""
    return sum(1 for _ in _WORD.finditer(text))
