"""Parses a multipart form into the same plain values that a JSON body would give."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Collection
from contextlib import suppress
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from contract.errors import BadRequest, InvalidField
from contract.json_bounds import excess_in
from contract.long_texts import decoded

MAX_PARTS = 5000
MAX_JSON = 4 * 2**20
"""Characters of JSON in a form's fields; more of it stays text, because it is parsed at once."""
MAX_CONTENT_TYPE = 1024
"""Characters of a form's content type. A boundary has at most 70; parsing parameters of 60 KiB would take a second."""

_JSON = frozenset("{[")
"""The first characters of JSON that is a list or an object."""

FormValues = dict[str, Any]
"""Fields by name: text as str, a file as bytes, several of either as a list."""


def parse(content_type: str, body: bytes | bytearray) -> FormValues:
    """The form's fields. A name that occurs twice, or ends in `[]`, becomes a list.

    Raises BadRequest when the form is malformed.
    """
    if len(content_type) > MAX_CONTENT_TYPE:
        raise BadRequest(f"The Content-Type of a form may have at most {MAX_CONTENT_TYPE} characters.")
    form: dict[str, list[str | bytes]] = {}
    count = itertools.count(1)

    def on_field(field: Field) -> None:
        name = _name(field.field_name, next(count))
        form.setdefault(name, []).append(decoded(field.value or b""))

    def on_file(file: File) -> None:
        name = _name(file.field_name, next(count))
        file.file_object.seek(0)
        form.setdefault(name, []).append(file.file_object.read())
        file.close()

    headers = {"Content-Type": content_type.encode(), "Content-Length": str(len(body)).encode()}
    try:
        parse_form(headers, io.BytesIO(body), on_field, on_file)
    except (FormParserError, ValueError) as error:
        message = f"The multipart body is malformed: {error}. Let your HTTP library build the form."
        raise BadRequest(message) from None
    return {name.removesuffix("[]"): _value(name, parts) for name, parts in form.items()}


def _name(name: bytes | None, count: int) -> str:
    if count > MAX_PARTS:
        raise ValueError(f"it has more than {MAX_PARTS} parts")
    return (name or b"").decode()


def _value(name: str, parts: list[str | bytes]) -> Any:
    return parts if name.endswith("[]") or len(parts) > 1 else parts[0]


def fit_to_model(form: FormValues, model: type[BaseModel], files: Collection[str]) -> FormValues:
    """Reads the model's list and object fields from JSON text, and makes a single value a list where one is expected.

    Forms have only text and files. Text that is not JSON, or too much of it, stays text. Except in the fields `files`,
    a file is text; raises BadRequest if it is not.
    """
    names = form.keys() & model.model_fields.keys()
    for name in names - set(files):
        form[name] = _as_text(name, form[name])
    texts = [text for name in names for text in _texts(form[name]) if text[:1] in _JSON]
    is_large = sum(map(len, texts)) > MAX_JSON or bool(excess_in(",".join(texts).encode()))
    read = _as_it_is if is_large else _from_json
    for name in names:
        accepted, value = _accepted_types(model.model_fields[name].annotation), form[name]
        if accepted & {list, dict}:
            parsed = [read(part) for part in value] if isinstance(value, list) else read(value)
            wrap = accepted <= {list, type(None)} and not isinstance(parsed, list)
            form[name] = [parsed] if wrap else parsed
    return form


def _as_text(name: str, value: Any) -> Any:
    """A field's value with the text of its files: left to validation, a large file would be decoded in one step."""
    if isinstance(value, list):
        return [_as_text(name, part) for part in value]
    try:
        return decoded(value) if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise InvalidField(f"`{name}` takes text, and the file has bytes that are not UTF-8.", param=name) from None


def _as_it_is(part: Any) -> Any:
    return part


def _texts(value: Any) -> list[str]:
    return [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, str)]


def _from_json(part: Any) -> Any:
    if isinstance(part, str) and part[:1] in _JSON:
        with suppress(ValueError, RecursionError):  # validation reports what is wrong with the text
            return json.loads(part)
    return part


def _accepted_types(annotation: Any) -> frozenset[type]:
    """The types that a field accepts, as far as forms are concerned: list, dict (for objects), and any others."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return frozenset({dict})
    origin = get_origin(annotation)
    if origin in {list, tuple}:
        return frozenset({list})
    if origin in {None, dict, Literal}:
        return frozenset({origin or annotation})
    members = get_args(annotation)[:1] if origin is Annotated else get_args(annotation)
    return frozenset().union(*map(_accepted_types, members))
