"""What each field of a request means, taken from the docstrings of its model, where it is written once.

A description is the sentence or list item that begins with the field's name in backticks, with the sentences after it
that begin with no other name; else the first sentence that mentions the field.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from pydantic import BaseModel

_ITEM = re.compile(r"\n\s*\n|\n(?=- )")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[`A-Z])")
_LEADING_NAMES = re.compile(r"`(\w+)`(?:,? (?:and )?`(\w+)`)*")
_NAME = re.compile(r"`(\w+)`")


def field_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """A description for each field that the docstrings of the model and its bases mention."""
    mentioned: dict[str, str] = {}
    defined: dict[str, str] = {}
    for names, sentence, is_definition in _statements(model):
        for name in names:
            (defined if is_definition else mentioned).setdefault(name, sentence)
    return {name: text for name in model.model_fields if (text := defined.get(name) or mentioned.get(name))}


def _statements(model: type[BaseModel]) -> Iterator[tuple[list[str], str, bool]]:
    """The names in each statement of the docstrings, its text, and whether it begins with them."""
    for base in model.__mro__:
        if not (isinstance(base, type) and issubclass(base, BaseModel) and base is not BaseModel):
            continue
        for item in _ITEM.split(inspect.cleandoc(base.__dict__.get("__doc__") or "")):
            sentences = [" ".join(sentence.removeprefix("- ").split()) for sentence in _SENTENCE.split(item.strip())]
            yield from _definitions(sentences)
            for sentence in sentences:
                yield _NAME.findall(sentence), sentence, False


def _definitions(sentences: list[str]) -> Iterator[tuple[list[str], str, bool]]:
    names: list[str] = []
    text = ""
    for sentence in sentences:
        if leading := _LEADING_NAMES.match(sentence):
            yield names, text, True
            names, text = _NAME.findall(leading.group()), sentence
        else:
            text = f"{text} {sentence}".strip()
    yield names, text, True
