"""Forwards a WebSocket to the manager, from the handshake to the end of the connection."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from starlette.types import Receive, Scope, Send

from contract.asgi.body import cancel_on_disconnect
from contract.asgi.relay import UpstreamError
from contract.asgi.tunnel import Tunnel, received, relay_answer
from contract.errors import WorkerDied
from gateway.forwarding.forward import ATTEMPTS, ForwardedRequest, internal_headers
from gateway.forwarding.manager_client import ManagerClient


async def forward_websocket(
    manager: ManagerClient, request: ForwardedRequest, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send the handshake, and then pass on what either side sends.

    Raises ClientDisconnected, or ManagerUnreachable, or WorkerDied if the server ends the connection without closing
    the WebSocket.
    """
    async with AsyncExitStack() as stack:
        try:
            async with cancel_on_disconnect(receive):
                tunnel = await _open(manager, request, stack)
            headers = [header for header in tunnel.headers if not header[0].startswith(b"access-control-")]
            await relay_answer(tunnel, headers, received(receive), scope, send)
        except UpstreamError as error:
            if error.began:
                message = "The connection to the server broke off. Connect again."
                raise manager.interruption() or WorkerDied(message, details={"began": True}) from error
            raise manager.unreachable(error) from error
        except WorkerDied as error:  # the connection has ended, which a silent manager's does as well
            raise manager.interruption() or error from error


async def _open(manager: ManagerClient, request: ForwardedRequest, stack: AsyncExitStack) -> Tunnel:
    """The answer to the handshake. If a worker dies before it answers, another one gets the handshake."""
    deadline = time.monotonic() + request.max_wait
    for attempt in range(1, ATTEMPTS + 1):
        headers = internal_headers(request, attempt, max(0.0, deadline - time.monotonic()))
        tunnel = await stack.enter_async_context(manager.open_tunnel(request.url, headers))
        if (b"x-enginehouse-retry", b"1") not in tunnel.headers:
            break
    return tunnel
