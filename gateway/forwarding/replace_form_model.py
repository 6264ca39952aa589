"""Replaces the value of `model` in a multipart form and leaves all other bytes unchanged."""

from __future__ import annotations

import re

from gateway.forwarding.form_fields import FormFields
from gateway.forwarding.pieced_body import PiecedBody, body_of

_DELIMITER = re.compile(rb"\s*(--[^\r\n]+)\r\n")


def replace_form_model(content_type: str, body: bytes, model: str) -> bytes | PiecedBody:
    """The form with its fields `model` set to `model`, or with such a field at its end if it has none.

    Raises BadRequest for a form that is malformed.
    """
    fields = FormFields(content_type, {"model"})
    fields.feed(body)
    name, view = model.encode(), memoryview(body)
    if not fields.found:
        first = _DELIMITER.match(body)
        delimiter = first.group(1) if first else b""
        end = max(body.rfind(delimiter + b"--"), 0)
        part = delimiter + b'\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + name + b"\r\n"
        return body_of([view[:end], part, view[end:]])
    parts: list[bytes | memoryview] = []
    copied = 0
    for field in fields.found:
        parts += [view[copied : field.start], name]
        copied = field.start + len(field.value)
    return body_of([*parts, view[copied:]])
