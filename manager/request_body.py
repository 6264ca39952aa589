"""A request's body: streamed to the worker, and spooled to disk while the request waits for one.

A disconnect is only seen after the body has been read. To notice it for a large request that is waiting, the body is
read meanwhile, into a file rather than into memory.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from starlette.types import Message, Receive

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect

SPOOL_IN_MEMORY = 256 * 1024
CHUNK_BYTES = 256 * 1024


class RequestBody:
    """Reads one request's body, exactly once. `disconnected`: the client went away while it was read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._spool: IO[bytes] | None = None
        self._complete = asyncio.Event()
        self.disconnected = False

    async def first_chunk(self) -> tuple[bytes, bool]:
        """The first chunk, and whether it is the whole body, as in most requests."""
        if self._spool is not None:
            return b"", False
        return await self._next_chunk(), self._complete.is_set()

    @asynccontextmanager
    async def spooling(self) -> AsyncIterator[None]:
        """Spool the body while the enclosed code waits. Raises ClientDisconnected if the client goes away."""
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(SPOOL_IN_MEMORY)  # noqa: SIM115 - `close` closes it
        async with cancel_on_disconnect(self._spool_message):
            yield

    async def stream(self, first: bytes = b"") -> AsyncIterator[bytes]:
        """The body in chunks: `first`, what was spooled, and the rest as it arrives."""
        if first:
            yield first
        if self._spool is not None:
            self._spool.seek(0)
            while chunk := self._spool.read(CHUNK_BYTES):
                yield chunk
        while not self._complete.is_set():
            if chunk := await self._next_chunk():
                yield chunk

    async def wait_for_disconnect(self) -> Message:
        """Return the message that the client has gone away; for `cancel_on_disconnect`."""
        await self._complete.wait()
        return await self._receive()

    def close(self) -> None:
        """Remove the spooled file."""
        if self._spool is not None:
            self._spool.close()

    async def _spool_message(self) -> Message:
        """Spool the next chunk; once the body is complete, wait for the disconnect."""
        if self._complete.is_set():
            return await self._receive()
        message = await self._receive()
        if message["type"] != "http.disconnect" and self._spool is not None:
            self._spool.write(self._chunk_of(message))
        return message

    async def _next_chunk(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.disconnected = True
            raise ClientDisconnected
        return self._chunk_of(message)

    def _chunk_of(self, message: Message) -> bytes:
        if not message.get("more_body", False):
            self._complete.set()
        body: bytes = message.get("body", b"")
        return body
