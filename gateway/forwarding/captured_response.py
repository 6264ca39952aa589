"""Collects a response in memory, in place of a client."""

from __future__ import annotations

import json

from starlette.types import Message

from contract.errors import from_envelope
from gateway.forwarding.bulk import Bulk
from gateway.forwarding.bulk_reader import BulkReader


class CapturedResponse:
    """An ASGI `send` that keeps a whole response. The large values of a good one go to `bulk`."""

    def __init__(self, bulk: Bulk | None = None) -> None:
        self._status = 0
        self._reader = BulkReader(bulk or Bulk(frozenset()))
        self._headers: dict[bytes, bytes] = {}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], dict(message.get("headers") or ())
            if self._status != 200:
                self._reader = BulkReader(Bulk(frozenset()))
        else:
            self._reader.feed(message.get("body", b""))

    def body(self) -> bytes:
        """The whole body. Raises the ServeError that the response holds, if it is one."""
        body = self._reader.text()
        if self._status != 200:
            raise from_envelope(json.loads(body), self._headers.get(b"retry-after", b"").decode())
        return body

    def header(self, name: bytes) -> bytes | None:
        """A header's value, or None."""
        return self._headers.get(name)
