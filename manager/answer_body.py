"""An answer's body: sent as it arrives, and spooled while the client reads more slowly than the worker sends.

That way the worker is free as soon as it has sent its last byte, however slowly the client reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from starlette.types import Send

from contract.asgi.body import cancel_on_disconnect
from manager.request_body import RequestBody
from manager.spool import Spool, SpoolSpace


class ClientFlow(Protocol):
    """The `flow` in a request's scope: `write_paused` while the client has not taken what was sent."""

    write_paused: bool


class AnswerBody:
    """Sends one answer's body to its client, after its head has been sent."""

    def __init__(self, send: Send, flow: ClientFlow, space: SpoolSpace, request_id: str) -> None:
        self._send = send
        self._flow = flow
        self._space = space
        self._request_id = request_id
        self._spool: Spool | None = None
        self._sender: asyncio.Task[None] | None = None  # sends what is in the spool, while there is anything
        self._error: Exception | None = None
        self._last: bytes | None = None

    async def take(self, first: bytes, rest: AsyncIterator[bytes]) -> None:
        """Take the worker's chunks, and send what the client can take at once. Returns after the last chunk."""
        await self._send({"type": "http.response.body", "body": first, "more_body": True})
        async for chunk in rest:
            if self._is_behind():
                await self._hold(chunk)
            else:
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        self.end()

    def end(self, last: bytes = b"") -> None:
        """Note the last chunk, which `finish` sends."""
        self._last = last

    def break_off(self, error: Exception) -> None:
        """Note that the worker's answer is incomplete: `finish` raises the error after the chunks that there are."""
        self._error = error

    async def finish(self, request: RequestBody) -> None:
        """Return once the client has taken the rest. Raises ClientDisconnected."""
        if self._is_behind():
            async with cancel_on_disconnect(request.wait_for_disconnect):
                await self._send_rest()
        else:
            await self._send_rest()

    def close(self) -> None:
        """Stop sending, and free what is held."""
        if self._sender:
            self._sender.cancel()
        if self._spool:
            self._spool.close()

    def _is_behind(self) -> bool:
        """Whether sending a chunk now would wait for the client, or overtake what is held for it."""
        if self._sender is not None:
            if not self._sender.done():
                return True
            self._sender.result()  # raises its error
            self._sender = None
        return self._flow.write_paused

    async def _hold(self, chunk: bytes) -> None:
        if self._spool is None:
            self._spool = Spool(self._space, f"the worker of request {self._request_id} waits for its client")
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_spool(self._spool))
        await self._spool.put(chunk)

    async def _send_spool(self, spool: Spool) -> None:
        while chunk := await spool.take():
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _send_rest(self) -> None:
        if self._sender:
            await self._sender
        if self._error:
            raise self._error
        if self._last is not None:
            await self._send({"type": "http.response.body", "body": self._last})
