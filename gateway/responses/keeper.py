"""Keeps the response that a client gets, whole or streamed, before the client has its end."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Message, Send

_LAST_EVENTS = (b"event: response.completed", b"event: response.incomplete", b"event: response.failed")

Keep = Callable[[dict[str, Any]], Awaitable[None]]


class Keeper:
    """An ASGI `send` that hands the response to `keep` and then sends its end on, so that it can be continued."""

    def __init__(self, send: Send, keep: Keep) -> None:
        self._send = send
        self._keep = keep
        self._is_stream = False
        self._is_answer = False
        self._held = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            self._is_answer = message["status"] == 200
            self._is_stream = headers.get(b"content-type", b"").startswith(b"text/event-stream")
        elif self._is_answer:
            self._held += message.get("body", b"")
            await (self._look_at_events() if self._is_stream else self._look_at_whole(message))
        await self._send(message)

    async def _look_at_whole(self, message: Message) -> None:
        if not message.get("more_body", False):
            await self._keep(json.loads(self._held))
            self._held.clear()

    async def _look_at_events(self) -> None:
        *events, rest = bytes(self._held).split(b"\n\n")
        self._held = bytearray(rest)
        for event in events:
            if event.startswith(_LAST_EVENTS):
                await self._keep(json.loads(event.partition(b"data: ")[2])["response"])
