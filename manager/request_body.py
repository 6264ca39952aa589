"""A request's body: streamed to the worker, and spooled while the request waits for one.

A disconnect is only seen after the body has been read. To notice it for a large request that is waiting, the body is
read meanwhile, most of it to disk. Without disk space, the rest is not read before the worker is ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Message, Receive

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect
from manager.spool import Spool, SpoolSpace


class RequestBody:
    """Reads one request's body, exactly once. `disconnected`: the client went away while it was read."""

    def __init__(self, receive: Receive, space: SpoolSpace, request_id: str) -> None:
        self._receive = receive
        self._space = space
        self._request_id = request_id
        self._spool: Spool | None = None
        self._spooling: asyncio.Future[None] | None = None  # makes room for the latest chunk
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
            self._spool = Spool(self._space, f"request {self._request_id} is read further once its worker is ready")
        async with cancel_on_disconnect(self._spool_message):
            yield

    async def stream(self, first: bytes = b"") -> AsyncIterator[bytes]:
        """The body in chunks: `first`, what was spooled, and the rest as it arrives."""
        if first:
            yield first
        if self._spool is not None:
            while chunk := await self._spool.take():
                yield chunk
        while not self._complete.is_set():
            if chunk := await self._next_chunk():
                yield chunk

    async def wait_for_disconnect(self) -> Message:
        """Return the message that the client has gone away; for `cancel_on_disconnect`."""
        await self._complete.wait()
        return await self._receive()

    def close(self) -> None:
        """Free what is spooled."""
        if self._spooling is not None:
            self._spooling.cancel()
        if self._spool is not None:
            self._spool.close()

    async def _spool_message(self) -> Message:
        """Spool the next chunk; once the body is complete, wait for the disconnect."""
        message = await self._receive()
        if message["type"] != "http.disconnect" and self._spool is not None:
            self._spool.add(self._chunk_of(message))
            # Shielded: the worker may become ready at any moment, and what is being written must not be doubled then.
            self._spooling = asyncio.ensure_future(self._spool.make_room())
            await asyncio.shield(self._spooling)
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
