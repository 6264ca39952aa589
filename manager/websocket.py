"""Relays a WebSocket to a worker: the lease lasts until either side ends the connection."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from starlette.types import Scope, Send

from contract.asgi.body import ClientDisconnected
from contract.asgi.relay import UpstreamError, upstream_url
from contract.asgi.tunnel import open_tunnel, relay_answer
from contract.errors import WorkerDied
from manager.request_body import RequestBody
from manager.scheduling.wait_queue import Lease, evicted
from manager.worker_requests import request_headers, send_worker_died, with_timing


async def relay_websocket(lease: Lease, scope: Scope, body: RequestBody, send: Send) -> None:
    """Send the handshake to the lease's worker, and then pass on what either side sends.

    Raises ClientDisconnected, Evicted, or WorkerDied if the worker does not close the WebSocket in good order.
    """
    process = lease.worker.process
    assert process is not None
    url, headers = upstream_url(process.url, scope), request_headers(scope, process.token)
    answered, started = False, time.perf_counter()
    try:
        async with AsyncExitStack() as stack:
            async with body.spooling():  # notices a client that disconnects
                tunnel = await stack.enter_async_context(open_tunnel(url, headers))
            lease.status, answered = tunnel.status, True
            answer = with_timing(tunnel.headers, lease, time.perf_counter() - started)
            await relay_answer(tunnel, answer, body.stream(), scope, send)
    except (UpstreamError, WorkerDied) as error:
        if body.disconnected:
            raise ClientDisconnected from None
        lease.status = WorkerDied.status
        if lease.worker.cut_short:
            raise evicted(lease.worker) from None
        if answered:
            message = f"{lease.worker.name} ended the connection without closing the WebSocket. Connect again."
            raise WorkerDied(message, details={"began": True}) from error
        await send_worker_died(send, lease.worker, error, scope["request_id"])
