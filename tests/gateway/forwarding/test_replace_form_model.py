"""Replacing `model` in a form, which leaves all other bytes unchanged."""

from __future__ import annotations

import httpx2
import pytest

from contract import multipart
from contract.errors import BadRequest
from gateway.forwarding.pieced_body import SMALL, PiecedBody
from gateway.forwarding.replace_form_model import replace_form_model

FILE = b"\x00\r\n--other\r\nmodel" * 3


def form(**fields: object) -> tuple[str, bytes]:
    """The content type and the body of a form with a file."""
    request = httpx2.Request("POST", "http://localhost", data=fields, files={"file": ("a.mp3", FILE)})
    return request.headers["content-type"], request.read()


@pytest.mark.parametrize("fields", [{"model": "ours"}, {"model": ["ours", "again"]}, {}, {"model": ""}, {"x": "model"}])
def test_server_reads_the_new_name_and_the_rest_as_it_was(fields: dict[str, object]) -> None:
    content_type, body = form(**fields)
    replaced = replace_form_model(content_type, body, "théirs")
    assert isinstance(replaced, bytes)
    values, before = multipart.parse(content_type, replaced), multipart.parse(content_type, body)
    models = values.pop("model")
    assert models == "théirs" or models[-1] == "théirs"
    before.pop("model", None)
    assert values == before
    assert values["file"] == FILE


def test_everything_but_the_name_keeps_its_bytes() -> None:
    content_type, body = form(model="ours", prompt="ours")
    assert replace_form_model(content_type, body, "theirs") == body.replace(b"ours", b"theirs", 1)


async def test_large_form_is_not_joined() -> None:
    content_type, body = form(model="ours", prompt="y" * SMALL)
    replaced = replace_form_model(content_type, body, "four")
    assert isinstance(replaced, PiecedBody)
    assert b"".join([chunk async for chunk in replaced.chunks()]) == body.replace(b"ours", b"four", 1)


def test_malformed_form_is_refused() -> None:
    with pytest.raises(BadRequest, match="malformed"):
        replace_form_model("multipart/form-data; boundary=b", b"no form", "theirs")
