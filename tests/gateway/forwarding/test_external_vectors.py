"""Vectors of external servers: in the form that the client asked for, or an error that says what is wrong."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from contract.errors import EngineFailed
from gateway.forwarding.external_vectors import CheckedVectors

NUMBERS = [0.5, -0.25, 1e-3]
PACKED = struct.pack("<3f", *NUMBERS)
TEXT = base64.b64encode(PACKED).decode()


async def answered(body: bytes, wanted: str, *, status: int = 200, kind: bytes = b"application/json") -> Any:
    """The head and the body that the client gets of an answer, which arrives in small chunks."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    checked = CheckedVectors(send, "other", wanted)
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"x-own", b"1")]
    await checked({"type": "http.response.start", "status": status, "headers": headers})
    for start in range(0, len(body), 7):
        await checked({"type": "http.response.body", "body": body[start : start + 7], "more_body": True})
    await checked({"type": "http.response.body", "body": b""})
    return dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:])


def answer(*vectors: Any) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, "model": 'an "embedding": [[', "usage": {"a": 1}}).encode()


@pytest.mark.parametrize("sent", [NUMBERS, TEXT])
@pytest.mark.parametrize("wanted", ["float", "base64"])
async def test_vectors_come_in_the_form_that_was_asked_for(sent: Any, wanted: str) -> None:
    headers, body = await answered(answer(sent, sent), wanted)
    assert headers[b"content-length"] == str(len(body)).encode()
    assert headers[b"x-own"] == b"1"
    vectors = [item["embedding"] for item in json.loads(body)["data"]]
    if wanted == "base64":
        assert vectors == [TEXT, TEXT]
    else:
        assert vectors == [pytest.approx(NUMBERS)] * 2


async def test_a_right_answer_keeps_its_bytes() -> None:
    for sent, wanted in ((NUMBERS, "float"), (TEXT, "base64")):
        assert (await answered(answer(sent), wanted))[1] == answer(sent)


@pytest.mark.parametrize(
    "vector", [[NUMBERS], [], None, {"a": 1}, [None], [float("nan")], [1e999], "", "abc", "%%%", TEXT[:-4], ["0.5"]]
)
@pytest.mark.parametrize("wanted", ["float", "base64"])
async def test_other_forms_are_an_error(vector: Any, wanted: str) -> None:
    with pytest.raises(EngineFailed, match="neither lists of finite numbers nor base64"):
        await answered(answer(NUMBERS, vector), wanted)


async def test_errors_and_other_types_pass_as_they_are() -> None:
    body = answer([NUMBERS])
    assert (await answered(body, "float", status=400))[1] == body
    assert (await answered(body, "float", kind=b"text/plain"))[1] == body
