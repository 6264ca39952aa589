"""Reads a request's body within a limit, and notices when the client leaves."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope

from contract.asgi.middleware import header
from contract.errors import TooLarge

_MOMENT = 0.005
"""Seconds before a client is watched."""


class ClientDisconnected(Exception):
    """The client closed its connection."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises TooLarge beyond `limit` bytes (before reading, if the length is told), or ClientLeft."""
    declared = header(scope, b"content-length")
    if declared and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    # As bytes, since a JSON parser would copy a bytearray for as long as it parses.
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    message = f"The body is larger than {limit / 2**20:g} MiB. Send less, or raise gateway.max_body_mb."
    return TooLarge(message, details={"limit": limit})


class cancel_on_disconnect:  # noqa: N801 - reads as what it does
    """Cancels the enclosed work when the client goes away; raises ClientLeft then. The body must have been read.

    Watching begins after a moment: most answers are out before, and a task for each would cost more than they do.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(_MOMENT, self._begin)

    def _begin(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._task.cancel()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if self._watcher:
            self._watcher.cancel()
        if self._left and kind is asyncio.CancelledError and self._task.uncancel() == 0:
            raise ClientDisconnected from None
