"""The fields of a form that passes, found wherever the chunks are cut."""

from __future__ import annotations

import os

import pytest

from contract.errors import BadRequest
from gateway.forwarding.form_fields import FormFields

TYPE = 'multipart/form-data; boundary="b"'
NAMES = {"model", "stream"}


def part(disposition: str, value: bytes) -> bytes:
    return f"--b\r\nX-Other: model\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + value + b"\r\n"


def read(*parts: bytes, step: int = 65536) -> FormFields:
    form, fields = b"".join(parts) + b"--b--\r\n", FormFields(TYPE, NAMES)
    for start in range(0, len(form), step):
        fields.feed(form[start : start + step])
    assert all(form[f.start : f.start + len(f.value)] == f.value for f in fields.found)
    return fields


@pytest.mark.parametrize("step", [1, 2, 7, 65536])
def test_finds_the_value_and_its_place(step: int) -> None:
    audio = part('name="file"; filename="model"', os.urandom(500) + b"\r\n--a" + b"\r\n-")
    fields = read(audio, part('name="model"', "modèle".encode()), part("name=stream", b"true"), step=step)
    assert fields.value("model") == "modèle"
    assert fields.value("stream") == "true"
    assert len(fields.found) == 2


def test_last_of_several_counts() -> None:
    fields = read(part('name="model"', b"one"), part('name="model"', b"two"))
    assert fields.value("model") == "two"
    assert len(fields.found) == 2


def test_ignores_files_other_names_and_what_is_no_name() -> None:
    file = part('name="model"; filename="x"', b"a file")
    fields = read(file, part('name="models"', b"x"), part('name="model"', b""), part('name="model"', b"x" * 5000))
    assert fields.found == []
    assert fields.value("model") is None


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=" + "b" * 5000, b""),
        (TYPE, b"--other\r\n"),
        (TYPE, b"--b\r\nbad header\r\n\r\nx"),
        (TYPE, part("name=x", b"") * 5001),
    ],
)
def test_malformed_form_is_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(BadRequest, match="malformed"):
        FormFields(content_type, NAMES).feed(body)
