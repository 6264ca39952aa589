"""Collects a response in memory, in place of a client."""

from __future__ import annotations

import json

from starlette.types import Message

from contract.errors import from_envelope


class CapturedResponse:
    """An ASGI `send` that keeps a whole response."""

    def __init__(self) -> None:
        self._status = 0
        self._chunks: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}

    async def __call__(self, message: Message) -> None:
        self._headers = dict(message.get("headers") or self._headers)
        self._status = message.get("status", self._status)
        self._chunks.append(message.get("body", b""))

    def body(self) -> bytes:
        """The whole body. Raises the ServeError that the response holds, if it is one."""
        body = b"".join(self._chunks)
        if self._status != 200:
            raise from_envelope(json.loads(body))
        return body

    def header(self, name: bytes) -> bytes | None:
        """A header's value, or None."""
        return self._headers.get(name)
