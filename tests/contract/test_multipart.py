"""Requests that come as forms: the same as in JSON, whatever else the form holds."""

from __future__ import annotations

import json

from contract.tasks import all_tasks

BOUNDARY = "between"


def form(**parts: bytes) -> bytes:
    """A form of these files."""
    head = '--{}\r\nContent-Disposition: form-data; name="{}"; filename="a.bin"\r\n\r\n'
    return b"".join(head.format(BOUNDARY, name).encode() + value + b"\r\n" for name, value in parts.items()) + (
        f"--{BOUNDARY}--\r\n".encode()
    )


def test_a_form_with_a_file_that_nobody_knows_can_go_on_as_json() -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    request = all_tasks()["ocr"].decode(kind, form(image=b"\x89PNG\xff", notes=b"\xff\xfe"))
    document = json.loads(request.model_dump_json(exclude_unset=True))
    assert document["image"] == "iVBOR/8="
    assert isinstance(document["notes"], str)
