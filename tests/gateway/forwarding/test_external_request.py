"""What is read of requests to external servers, and what their bodies are once the model has its other name."""

from __future__ import annotations

import asyncio
import math
import os
from typing import Any

import pytest

from contract.asgi.body import ClientDisconnected
from contract.errors import BadRequest, InvalidField, TooLarge
from gateway.forwarding.external_request import ExternalRequest, read_request
from gateway.forwarding.spooled_body import IN_MEMORY

LIMIT = 4 * IN_MEMORY
FORM = "multipart/form-data; boundary=b"


def form(model: bytes, *, file: bytes = b"x") -> bytes:
    fields = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + file + b"\r\n"
    for name, value in ((b"model", model), (b"stream", b"True"), (b"keep_alive", b"5m")):
        fields += b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"
    return fields + b"--b--\r\n"


async def sent(request: ExternalRequest) -> bytes:
    """The body as it goes to the server, which must be the same the second time."""
    if isinstance(request.body, bytes):
        return request.body
    first = b"".join([chunk async for chunk in request.body.chunks()])
    assert first == b"".join([chunk async for chunk in request.body.chunks()])
    assert len(request.body) == len(first)
    return first


def read(content_type: str, body: bytes, query: bytes = b"", rename: str | None = None) -> tuple[Any, ...]:
    """The request's model, stream, keep_alive, query, and the body to send."""

    async def run() -> tuple[Any, ...]:
        chunks = [body[start : start + 70_000] for start in range(0, len(body), 70_000)] or [b""]
        messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
        messages[-1]["more_body"] = False

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        scope = {"headers": [(b"content-type", content_type.encode())], "query_string": query}
        async with read_request(scope, receive, LIMIT) as request:
            if rename:
                await request.rename_model(rename)
            return request.model, request.stream, request.keep_alive, request.query, await sent(request)

    return asyncio.run(run())


def test_reads_json_and_replaces_its_model() -> None:
    body = b'{"model": "m", "stream": true, "keep_alive": "1h", "x": 1}'
    assert read("application/json", body) == ("m", True, 3600, b"", body)
    assert read("application/json", body, rename="n")[4] == body.replace(b'"m"', b'"n"')


@pytest.mark.parametrize("size", [1, 100_000, IN_MEMORY + 500_000])
@pytest.mark.parametrize("name", ["n", "a/much/longer/name"])
def test_reads_a_form_and_replaces_its_model(size: int, name: str) -> None:
    body = form(b"m", file=os.urandom(size))
    assert read(FORM, body) == ("m", True, 300, b"", body)
    before, _, after = body.rpartition(b"\r\n\r\nm\r\n")
    assert read(FORM, body, rename=name)[4] == before + b"\r\n\r\n" + name.encode() + b"\r\n" + after


def test_query_names_the_model_of_other_bodies() -> None:
    query = b"a=%20&model=m&b=&model=x&c"
    assert read("audio/wav", b"bytes", query) == ("x", False, None, query, b"bytes")
    assert read("", b"", query, rename="n/1")[3] == b"a=%20&model=n%2F1&b=&model=n%2F1&c"
    assert read("application/json", b"{}", b"model=q")[0] == "q"


def test_body_names_the_model_before_the_query() -> None:
    assert read("application/json", b'{"model": "b"}', b"model=q")[0] == "b"


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("application/json", b"{", BadRequest),
        ("application/json", b'{"keep_alive": "soon"}', InvalidField),
        ("application/json", b'{"keep_alive": []}', InvalidField),
        (FORM, b"--x", BadRequest),
        (FORM, form(b"m", file=bytes(LIMIT)), TooLarge),
        ("audio/wav", bytes(LIMIT + 1), TooLarge),
    ],
)
def test_bad_requests_are_refused(content_type: str, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(content_type, body)


def test_keep_alive_may_be_for_ever() -> None:
    assert read("application/json", b'{"keep_alive": -1}')[2] == -1
    assert not math.isnan(read("application/json", b'{"keep_alive": 2.5}')[2])


def test_cut_upload_raises() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def run() -> None:
        async with read_request({"headers": [], "query_string": b""}, receive, LIMIT):
            pass

    with pytest.raises(ClientDisconnected):
        asyncio.run(run())
