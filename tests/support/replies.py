"""Responses of the fake manager as plain ASGI messages."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import Receive, Send

DETECTIONS = {
    "object": "list",
    "model": "detector",
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


async def wait_until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_head(send: Send, status: int, media_type: bytes, more: list[tuple[bytes, bytes]] = []) -> None:  # noqa: B006
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", media_type), *more]})


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


async def run_lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def chat_event(text: str) -> bytes:
    """A server-sent event with one chunk of a chat response."""
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def error_envelope(code: str, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    error = {"message": message, "type": "server_error", "code": code, "param": None, "request_id": "r"}
    return {"error": {**error, "details": details or {}}}
