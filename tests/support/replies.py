"""Answers of the fake manager, message by message, as plain ASGI."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Receive, Send

DETECTED = {
    "object": "list",
    "model": "finder",
    "data": [
        {"index": 0, "width": 40, "height": 30, "detections": [{"label": "cat", "score": 0.75, "box": [1, 2, 30, 20]}]}
    ],
    "usage": {"images": 1, "latency": 0.1},
}


async def read_body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def wait_until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_head(send: Send, status: int, kind: bytes, more: list[tuple[bytes, bytes]] = []) -> None:  # noqa: B006
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), *more]})


async def send_chunk(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def send_end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b""})


async def send_json(send: Send, status: int, document: Any, more: list[tuple[bytes, bytes]] = []) -> None:  # noqa: B006
    body = json.dumps(document).encode()
    await send_head(send, status, b"application/json", [(b"content-length", str(len(body)).encode()), *more])
    await send({"type": "http.response.body", "body": body})


async def send_text(send: Send, text: str) -> None:
    await send_head(send, 200, b"text/plain")
    await send_chunk(send, text.encode())
    await send_end(send)


async def live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
