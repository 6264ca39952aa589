"""Reads a request's body up to a size limit, and cancels work when the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Receive, Scope

from contract.asgi.body_memory import hold
from contract.asgi.middleware import header
from contract.asgi.unpacking import unpacker_for
from contract.errors import TooLarge

_PIECE = 2**20
"""Bytes of a large body that are put together at a time."""
_WATCH_DELAY = 0.005
"""Seconds before `cancel_on_disconnect` starts to watch the client."""


class ClientDisconnected(Exception):
    """The client closed its connection."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read the whole body, unpacked if it is compressed.

    Raises TooLarge above `limit` bytes (before reading, if `Content-Length` says so), BodyMemoryFull, UnsupportedMedia
    for an unknown `Content-Encoding`, BadRequest for a body that cannot be unpacked, or ClientDisconnected.
    """
    pieces: list[bytes] = []
    piece = bytearray()
    async for chunk in body_chunks(scope, receive, limit):
        piece += chunk
        hold(len(chunk))
        if len(piece) >= _PIECE:
            pieces.append(bytes(piece))
            piece = bytearray()
    # Converted to bytes because a JSON parser would copy a bytearray and keep the copy while it parses.
    if not pieces:
        return bytes(piece)
    # In a thread, because this takes tens of milliseconds; for large bytes, it needs no interpreter lock.
    return await asyncio.to_thread(b"".join, [*pieces, bytes(piece)])


async def body_chunks(scope: Scope, receive: Receive, limit: int) -> AsyncIterator[bytes]:
    """The body in chunks as they arrive, unpacked if it is compressed. Raises the errors of `read_body`."""
    _check_declared(scope, limit)
    unpacker = unpacker_for(scope)
    received, size, more = 0, 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        received = _checked(received + len(chunk), limit)
        if unpacker is None:
            yield chunk
            continue
        async for piece in unpacker.unpacked(chunk):
            size = _checked(size + len(piece), limit)
            yield piece
    if unpacker:
        unpacker.finish()


def _checked(size: int, limit: int) -> int:
    if size > limit:
        raise _too_large(limit)
    return size


def _check_declared(scope: Scope, limit: int) -> None:
    declared = header(scope, b"content-length")
    if declared and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> TooLarge:
    message = f"The request body is larger than {limit / 2**20:g} MiB. Send less, or raise gateway.max_body_mb."
    return TooLarge(message, details={"limit": limit})


class cancel_on_disconnect:  # noqa: N801 - reads as what it does
    """Cancels the enclosed work when the client disconnects, and raises ClientDisconnected.

    The request's body must have been read before. Watching starts after a short delay: most responses are sent by
    then, and starting an asyncio task for each of them would cost more than producing them.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._disconnected = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(_WATCH_DELAY, self._start)

    def _start(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._disconnected = True
        self._task.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if self._watcher:
            self._watcher.cancel()
        if self._disconnected and kind is asyncio.CancelledError and self._task.uncancel() == 0:
            raise ClientDisconnected from None
