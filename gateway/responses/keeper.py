"""Keeps the response that a client gets, whole or streamed, before the client has its end."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Message, Send

_LAST_EVENTS = (b"event: response.completed", b"event: response.incomplete", b"event: response.failed")

Keep = Callable[[dict[str, Any]], Awaitable[str | None]]
"""Stores a response; why it could not."""


class Keeper:
    """An ASGI `send` that hands the response to `keep` and then sends its end on, so that it can be continued.

    A response that could not be kept says so itself: in `store` and `warnings`.
    """

    def __init__(self, send: Send, keep: Keep) -> None:
        self._send = send
        self._keep = keep
        self._head: Message | None = None  # of a whole answer, until its body is complete
        self._is_stream = False
        self._held = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            self._is_stream = headers.get(b"content-type", b"").startswith(b"text/event-stream")
            if message["status"] == 200 and not self._is_stream:
                self._head = message
                return None
            self._is_stream = self._is_stream and message["status"] == 200
        elif self._head:
            return await self._hold(self._head, message)
        elif self._is_stream:
            message = await self._after_events(message)
        return await self._send(message)

    async def _hold(self, head: Message, message: Message) -> None:
        self._held += message.get("body", b"")
        if message.get("more_body", False):
            return
        body = await self._kept(bytes(self._held))
        headers = [(name, value) for name, value in head["headers"] if name != b"content-length"]
        await self._send({**head, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
        await self._send({"type": "http.response.body", "body": body})

    async def _after_events(self, message: Message) -> Message:
        """The message, once the response that it may end is kept."""
        body = message.get("body", b"")
        self._held += body
        *events, rest = bytes(self._held).split(b"\n\n")
        self._held = bytearray(rest)
        for event in events:
            if event.startswith(_LAST_EVENTS):
                body = body.replace(event, await self._kept_event(event))
        return {**message, "body": body}

    async def _kept_event(self, event: bytes) -> bytes:
        name, separator, data = event.partition(b"data: ")
        document = json.loads(data)
        if await self._note(document["response"]):
            return event
        return name + separator + json.dumps(document, ensure_ascii=False).encode()

    async def _kept(self, body: bytes) -> bytes:
        response = json.loads(body)
        return body if await self._note(response) else json.dumps(response, ensure_ascii=False).encode()

    async def _note(self, response: dict[str, Any]) -> bool:
        """Whether the response is kept; if not, it says so from now on."""
        problem = await self._keep(response)
        if problem:
            sentence = f"This response is not stored, so that it cannot be retrieved or continued. {problem}"
            response.update(store=False, warnings=[*(response.get("warnings") or ()), sentence])
        return not problem
