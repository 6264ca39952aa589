"""Parses a multipart form into the same plain values that a JSON body would give."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from contract.errors import BadRequest

FormValues = dict[str, Any]
"""Fields by name: text as str, a file as bytes, several of either as a list."""


def parse(content_type: str, body: bytes | bytearray) -> FormValues:
    """The form's fields. A name that occurs twice, or ends in `[]`, becomes a list.

    Raises BadRequest when the form is malformed.
    """
    form: dict[str, list[str | bytes]] = {}

    def on_field(field: Field) -> None:
        name = (field.field_name or b"").decode()
        form.setdefault(name, []).append((field.value or b"").decode())

    def on_file(file: File) -> None:
        name = (file.field_name or b"").decode()
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


def _value(name: str, parts: list[str | bytes]) -> Any:
    return parts if name.endswith("[]") or len(parts) > 1 else parts[0]


def fit_to_model(form: FormValues, model: type[BaseModel]) -> FormValues:
    """Reads the model's list and object fields from JSON text, and makes a single value a list where one is expected.

    Forms have only text and files. Text that is not JSON stays text, for fields that accept text as well.
    """
    for name in form.keys() & model.model_fields.keys():
        accepted, value = _accepted_types(model.model_fields[name].annotation), form[name]
        if accepted & {list, dict}:
            parsed = [_from_json(part) for part in value] if isinstance(value, list) else _from_json(value)
            wrap = accepted <= {list, type(None)} and not isinstance(parsed, list)
            form[name] = [parsed] if wrap else parsed
    return form


def _from_json(part: Any) -> Any:
    if isinstance(part, str) and part[:1] in {"{", "["}:
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
