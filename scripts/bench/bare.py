"""A minimal chain of two proxies: FastAPI, pydantic and aiohttp, then plain ASGI and aiohttp.

No keys, limits, logs, metrics, leases or error handling: the minimum that two hops in Python cost. Run as
`python -m scripts.bench.bare upstream|second|first PORT [NEXT]`; `upstream` is the server at the end of every chain.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp, Receive, Scope, Send

JSON = [(b"content-type", b"application/json")]


def upstream(_: str) -> ASGIApp:
    """The server: answers at once with 1 KB of JSON, or with a stream of events if the body has `"stream": true`."""
    answer = json.dumps({"object": "chat.completion", "choices": [{"message": {"content": ""}}]}).encode()
    answer = answer.replace(b'"content": ""', b'"content": "' + b"x" * (1024 - len(answer)) + b'"')
    head = [*JSON, (b"content-length", b"%d" % len(answer))]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if b'"stream": true' in await _read(receive):
            await _stream(send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": answer})

    return app


CHUNKS, PAUSE = 200, 0.005
"""The number of events in a stream, and the seconds between two: those of a model with 200 tokens per second."""


async def _stream(send: Send) -> None:
    """Send events, each with its time of sending by the machine's monotonic clock."""
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    for _ in range(CHUNKS):
        await asyncio.sleep(PAUSE)
        event = b"data: %d\n\n" % time.monotonic_ns()
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def second(next_url: str) -> ASGIApp:
    """The second hop: relays bytes."""
    client: aiohttp.ClientSession | None = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal client
        if scope["type"] != "http":
            return
        client = client or aiohttp.ClientSession()
        body = await _read(receive)
        headers = {"content-type": "application/json"}
        async with client.post(next_url + scope["path"], data=body, headers=headers) as response:
            head = [*JSON, (b"content-length", response.headers["content-length"].encode())]
            await send({"type": "http.response.start", "status": response.status, "headers": head})
            await send({"type": "http.response.body", "body": await response.read()})

    return app


class BareMessage(BaseModel):
    """A chat message."""

    role: str
    content: str


class BareChat(BaseModel):
    """A chat request, as far as the first hop validates it."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[BareMessage]
    stream: bool = False


def first(next_url: str) -> ASGIApp:
    """The first hop: a FastAPI route that validates the body with pydantic."""
    client: dict[str, aiohttp.ClientSession] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as client[""]:
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/chat/completions")
    async def chat(request: BareChat) -> Response:
        body, headers = request.model_dump_json().encode(), {"content-type": "application/json"}
        async with client[""].post(f"{next_url}/v1/chat/completions", data=body, headers=headers) as response:
            return Response(await response.read(), response.status, media_type="application/json")

    return app


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


APPS: dict[str, Callable[[str], ASGIApp]] = {"upstream": upstream, "second": second, "first": first}


def main(name: str, port: str, next_url: str = "") -> None:
    """Serve one of the apps until the process is ended."""
    options: dict[str, Any] = {"access_log": False, "log_level": "error", "server_header": False, "date_header": False}
    # The connections of a chain must stay open while another chain is measured.
    uvicorn.run(APPS[name](next_url), port=int(port), timeout_keep_alive=75, **options)


if __name__ == "__main__":
    main(*sys.argv[1:])
