"""Reads a request's body within a limit, and notices when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope

from contract.asgi.base import header
from contract.errors import TooLarge


class ClientLeft(Exception):
    """The client closed its connection."""


async def read(scope: Scope, receive: Receive, limit: int) -> bytearray:
    """The whole body. Raises TooLarge beyond `limit` bytes (before reading, if the length is told), or ClientLeft."""
    declared = header(scope, b"content-length")
    if declared and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return body


def _too_large(limit: int) -> TooLarge:
    message = f"The body is larger than {limit / 2**20:g} MiB. Send less, or raise gateway.max_body_mb."
    return TooLarge(message, details={"limit": limit})


@asynccontextmanager
async def cancel_when_client_leaves(receive: Receive) -> AsyncIterator[None]:
    """Cancel the enclosed work when the client goes away; raises ClientLeft then. The body must have been read."""
    task = asyncio.current_task()
    assert task is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if left and task.uncancel() == 0:
            raise ClientLeft from None
        raise
    finally:
        watcher.cancel()
