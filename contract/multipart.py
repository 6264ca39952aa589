"""Parses a multipart form into the same plain values that a JSON body would give."""

from __future__ import annotations

import io
import json
import re
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

_INDEX = re.compile(r"\[[0-9]*\]\Z")
"""What programs add to the name of a field that occurs several times."""
_JSON = frozenset("{[")
"""The first characters of JSON that is a list or an object."""

FormValues = dict[str, Any]
"""Fields by name: text as str, a file as bytes, several of either as a list."""


def parse(content_type: str, body: bytes | bytearray) -> FormValues:
    """The form's fields. A name that occurs twice, or ends in `[]` or `[0]`, becomes a list.

    Fields without a value are left out: programs and web pages send all that they have. A part without a file name is a
    file if it is no text. Raises BadRequest when the form is malformed.
    """
    if len(content_type) > MAX_CONTENT_TYPE:
        raise BadRequest(f"The Content-Type of a form may have at most {MAX_CONTENT_TYPE} characters.")
    form = _Form()

    def on_field(field: Field) -> None:
        form.add(field.field_name, _text_or_file(field.value or b""), empty=not field.value)

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        content = file.file_object.read()
        form.add(file.field_name, content, empty=not (content or file.file_name))
        file.close()

    headers = {"Content-Type": content_type.encode(), "Content-Length": str(len(body)).encode()}
    try:
        parse_form(headers, io.BytesIO(body), on_field, on_file)
    except (FormParserError, ValueError) as error:
        message = f"The multipart body is malformed: {error}. Let your HTTP library build the form."
        raise BadRequest(message) from None
    return form.values()


class _Form:
    """The parts of a form, by the names of their fields."""

    def __init__(self) -> None:
        self._parts: dict[str, list[str | bytes]] = {}
        self._lists: set[str] = set()
        self._count = 0

    def add(self, field: bytes | None, value: str | bytes, *, empty: bool) -> None:
        """Add a part. Raises ValueError for too many."""
        self._count += 1
        if self._count > MAX_PARTS:
            raise ValueError(f"it has more than {MAX_PARTS} parts")
        name = (field or b"").decode()
        base = _INDEX.sub("", name)
        if not empty:
            self._parts.setdefault(base, []).append(value)
            self._lists |= {base} if base != name else set()

    def values(self) -> FormValues:
        """The fields as JSON would give them."""
        several = {name for name, parts in self._parts.items() if len(parts) > 1} | self._lists
        return {name: parts if name in several else parts[0] for name, parts in self._parts.items()}


def _text_or_file(content: bytes) -> str | bytes:
    try:
        return decoded(content)
    except UnicodeDecodeError:
        return content


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
