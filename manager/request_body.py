"""A request's body on its way through: streamed, and spooled to disk while the request waits for its worker.

A client's leaving shows only behind its body. So that a large request that waits can be given up too, its body is read
while it waits, into a file and not into memory.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from starlette.types import Message, Receive

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect

IN_MEMORY = 256 * 1024
PIECE = 256 * 1024


class RequestBody:
    """Reads one request's body once, whoever asks for it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._spool: IO[bytes] | None = None
        self._whole = asyncio.Event()
        self.left = False

    async def first(self) -> tuple[bytes, bool]:
        """The first piece, and whether it is the whole body: most requests come in one."""
        if self._spool is not None:
            return b"", False
        return await self._next(), self._whole.is_set()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the body while the enclosed code waits for something else. Raises ClientLeft if the client goes."""
        self._spool = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - `close` closes it
        async with cancel_on_disconnect(self._spooling):
            yield

    async def stream(self, begin: bytes = b"") -> AsyncIterator[bytes]:
        """The body: `begin`, what was spooled, and the rest as it arrives."""
        if begin:
            yield begin
        if self._spool is not None:
            self._spool.seek(0)
            while piece := self._spool.read(PIECE):
                yield piece
        while not self._whole.is_set():
            if piece := await self._next():
                yield piece

    async def departure(self) -> Message:
        """Return when the client has left; for `cancel_on_disconnect`."""
        await self._whole.wait()
        return await self._receive()

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()

    async def _spooling(self) -> Message:
        """One step of holding: takes in a piece, or waits for the departure."""
        if self._whole.is_set():
            return await self._receive()
        message = await self._receive()
        if message["type"] != "http.disconnect" and self._spool is not None:
            self._spool.write(self._taken(message))
        return message

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.left = True
            raise ClientDisconnected
        return self._taken(message)

    def _taken(self, message: Message) -> bytes:
        if not message.get("more_body", False):
            self._whole.set()
        body: bytes = message.get("body", b"")
        return body
