"""What each field of a request or an answer means, from the docstrings of its model, and from tables of further fields.

A description is that of the table for this class and field; else the sentence or list item that begins with the
field's name in backticks, with the sentences after it that begin with no other name; else that of the table for any
field of the name; else the first sentence that mentions the field. Requests and answers have tables of their own,
`field_docs.yaml` and `answer_docs.yaml`, because the same name often asks for something in one and holds it in the
other.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from contract.yaml_file import read_yaml

_ITEM = re.compile(r"\n\s*\n|\n(?=- )")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[`A-Z])")
_LEADING_NAMES = re.compile(r"`(\w+)`(?:,? (?:and )?`(\w+)`)*")
_NAME = re.compile(r"`(\w+)`")
_OF_REQUESTS, _OF_ANSWERS = "field_docs.yaml", "answer_docs.yaml"


def field_descriptions(model: type[BaseModel], table: str = _OF_REQUESTS) -> dict[str, str]:
    """A description for each field that the table has, or the docstrings of the model and its bases mention."""
    mentioned: dict[str, str] = {}
    defined: dict[str, str] = {}
    for names, sentence, is_definition in _statements(model):
        for name in names:
            (defined if is_definition else mentioned).setdefault(name, sentence)
    found = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        own = next((text for base in model.__mro__ if (text := _table(table).get(f"{base.__name__}.{key}"))), None)
        text = own or defined.get(name) or _table(table).get(key) or mentioned.get(name)
        if text:
            found[name] = _without_name(text, name)
    return found


def _without_name(text: str, name: str) -> str:
    """The text without the field's name before a colon: it is shown beside its name."""
    rest = text.removeprefix(f"`{name}`: ")
    return text if rest == text else rest[:1].upper() + rest[1:]


def describe_fields(schemas: dict[str, Any], requests: Iterable[type[BaseModel]]) -> None:
    """Add descriptions to the JSON schemas of requests and of the models in them, by the names of their classes."""
    for model in _with_their_parts(requests):
        describe(schemas.get(model.__name__, {}), model)


def describe_answers(schemas: dict[str, Any], answers: Iterable[type[BaseModel]]) -> None:
    """Add descriptions to the JSON schemas of answers and of the models in them; those of requests stay."""
    for model in _with_their_parts(answers):
        describe(schemas.get(model.__name__, {}), model, _OF_ANSWERS)


def describe(schema: dict[str, Any], model: type[BaseModel], table: str = _OF_REQUESTS) -> None:
    """Add descriptions to the properties of a schema."""
    properties = schema.get("properties", {})
    for name, text in field_descriptions(model, table).items():
        field = model.model_fields[name]
        for key in {field.alias or name, field.serialization_alias or name} & properties.keys():
            properties[key].setdefault("description", text)


def _with_their_parts(models: Iterable[type[BaseModel]]) -> set[type[BaseModel]]:
    seen: set[type[BaseModel]] = set()
    for model in models:
        _collect(model, seen)
    return seen


def _collect(annotation: Any, seen: set[type[BaseModel]]) -> None:
    """Add the models in an annotation, and in their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
        seen.add(annotation)
        for field in annotation.model_fields.values():
            _collect(field.annotation, seen)
    for part in getattr(annotation, "__args__", ()):
        _collect(part, seen)


@cache
def _table(name: str) -> dict[str, str]:
    texts: dict[str, str] = read_yaml(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return texts


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
