"""Reads a multipart form from bytes into the same plain values that JSON would give."""

from __future__ import annotations

import io
from typing import Any

from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from contract.errors import BadRequest


def parse(content_type: str, body: bytes | bytearray) -> dict[str, Any]:
    """Fields by name: text as str, files as bytes; a name given twice, or ending in `[]`, becomes a list.

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
        raise BadRequest(f"The multipart body is malformed: {error}. Let the HTTP library build it.") from None
    return {name.removesuffix("[]"): _value(name, parts) for name, parts in form.items()}


def _value(name: str, parts: list[str | bytes]) -> Any:
    return parts if name.endswith("[]") or len(parts) > 1 else parts[0]
