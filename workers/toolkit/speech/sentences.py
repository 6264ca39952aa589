"""Splits texts into sentences, which are read aloud one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 400
"""Characters of a sentence: longer ones are split, as models read long texts badly and need much memory for them."""
_ENDS = re.compile(
    r"""[.!?…]+["'”’»)\]]*(?=\s+(?![a-z])|\s*$)   # no small letter follows, as in: "Is it?" she asked
      | [。！？]+[”’」』）]*                        # in scripts without spaces
      | \n\s*                                    # a line, such as a heading""",
    re.VERBOSE,
)
_ABBREVIATION = re.compile(r"(?:\b(?:[A-Z]|[a-z]\.[a-z]|Dr|Mr|Mrs|Ms|Prof|St|Sr|Jr|vs|etc|No|Nr|ca|bzw|Fig|Vol))\.$")
"""What ends with a full stop within a sentence. A mistake is a pause in the wrong place, or none in the right one."""
_PLACES = (re.compile(r"[;:,、，；：]\s*"), re.compile(r"\s+"))
"""Where a long sentence is split: at a comma if it can be, else at a space."""


def sentences(text: str, longest: int = LONGEST) -> list[str]:
    """The sentences of a text, without the white space between them."""
    return [part for sentence in _split(text) for part in _parts(sentence.strip(), longest) if part]


def _split(text: str) -> Iterator[str]:
    begin = 0
    for end in _ENDS.finditer(text):
        if not _ABBREVIATION.search(text, max(begin, end.end() - 16), end.end()):
            yield text[begin : end.end()]
            begin = end.end()
    yield text[begin:]


def _parts(sentence: str, longest: int) -> Iterator[str]:
    while len(sentence) > longest:
        end = _split_at(sentence, longest)
        yield sentence[:end].strip()
        sentence = sentence[end:].strip()
    yield sentence


def _split_at(sentence: str, longest: int) -> int:
    for place in _PLACES:
        if ends := [found.end() for found in place.finditer(sentence, 0, longest)]:
            return ends[-1]
    return longest
