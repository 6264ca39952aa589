"""How a stopping server ends the responses that it cuts short, of an app in this process."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Receive, Scope, Send

from contract.asgi import serve
from contract.asgi.draining import DrainMiddleware, RequestsInProgress
from contract.asgi.middleware import RequestMiddleware


class EndlessApp:
    """An app that sends a response's beginning and never ends it."""

    def __init__(self, content_type: bytes, begin: bytes) -> None:
        self._content_type = content_type
        self._begin = begin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        headers = [(b"content-type", self._content_type)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._begin, "more_body": True})
        await asyncio.Event().wait()


async def cut(content_type: bytes, begin: bytes) -> bytes:
    """The whole response to a request that a stopping server cuts short after `begin`."""
    requests = RequestsInProgress()
    app = RequestMiddleware(DrainMiddleware(EndlessApp(content_type, begin), requests))
    server = serve.server(app, requests=requests, graceful=0.01)
    sock = serve.listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve([sock]))
    reader, writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    received = await reader.readuntil(begin or b"\r\n\r\n")
    server.should_exit = True
    received += await reader.read()
    writer.close()
    await serving
    return received


@pytest.mark.parametrize("begin", [b"", b"data: {}\n\n", b"data: {}\r\n\r\n"], ids=["head", "event", "CRLF"])
async def test_stream_cut_between_events_gets_an_error_event(begin: bytes) -> None:
    received = await cut(b"text/event-stream; charset=utf-8", begin)
    assert received.endswith(b"\r\n0\r\n\r\n")
    event = json.loads(received.rpartition(b"data: ")[2].partition(b"\n\n")[0])
    assert event["error"]["code"] == "shutting_down"


@pytest.mark.parametrize("content_type", [b"text/event-stream", b"application/json"])
async def test_response_cut_elsewhere_breaks_off(content_type: bytes) -> None:
    received = await cut(content_type, b'data: {"half": ')
    assert received.endswith(b'data: {"half": \r\n'), (
        "its last chunk is missing, so that no client takes it for complete"
    )
