"""What requests to workers, and their answers, gain and lose in the manager."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import Scope, Send

from contract.asgi import relay
from contract.asgi.errors import send_error
from contract.errors import WorkerDied
from manager.scheduling.wait_queue import Lease
from manager.state.worker import Worker

MODEL = b"x-enginehouse-model"
KEEP_ALIVE = b"x-enginehouse-keep-alive"
DEADLINE = b"x-enginehouse-deadline"
JOB = b"x-enginehouse-job"
"""The priority of a job's request."""
GATEWAY = b"x-enginehouse-gateway"
WAITS = b"x-enginehouse-waits"
"""Marks a request whose client gets signs of life, so that it can wait for a download."""
_RETRY = (b"x-enginehouse-retry", b"1")
_TIMING = b"server-timing"
_NOT_FOR_WORKERS = {
    MODEL,
    KEEP_ALIVE,
    DEADLINE,
    GATEWAY,
    JOB,
    WAITS,
    b"authorization",
    b"x-api-key",
    b"x-request-id",
    b"cookie",
}
_DROPPED = relay.HOP_BY_HOP | _NOT_FOR_WORKERS


def request_headers(scope: Scope, token: str) -> list[tuple[str, str]]:
    """The request's headers for the worker."""
    sent = relay.end_to_end(scope["headers"])
    headers = [(str(k, "latin-1"), str(v, "latin-1")) for k, v in sent if k not in _DROPPED]
    return [*headers, ("authorization", f"Bearer {token}"), ("x-request-id", scope["request_id"])]


async def send_worker_died(send: Send, worker: Worker, error: Exception, request_id: str) -> None:
    """Send the error that the worker died before it answered, marked so that the gateway may retry."""
    process = worker.process
    assert process is not None
    code: int | None = None
    with suppress(TimeoutError):  # the connection breaks a moment before the exit is noticed
        async with asyncio.timeout(1.0):
            code = await asyncio.shield(process.wait())
            await worker.retired.wait()  # before that, the retry could get the same worker again
    how = f"exit code {code}" if code is not None else str(error)
    details = {"began": False, "exit_code": code, "worker": worker.name, "log_tail": process.log_tail()}
    died = WorkerDied(f"{worker.name} died while it worked on this request ({how}).", details=details)

    async def send_with_retry(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], _RETRY]  # type: ignore[misc]
        await send(message)

    await send_error(send_with_retry, died, request_id)  # type: ignore[arg-type]


def with_timing(headers: relay.RawHeaders, lease: Lease, seconds: float) -> relay.RawHeaders:
    """A response's headers with a Server-Timing of queue, load and inference; the worker's own figure wins.

    A `Location` on the worker loses its address, which clients cannot reach.
    """
    if lease.worker.process:
        address = lease.worker.process.url.encode()
        headers = [(name, _without(address, value) if name == b"location" else value) for name, value in headers]
    reported = any(name == _TIMING for name, _ in headers)
    waits = f"queue;dur={lease.queued * 1e3:.1f}, load;dur={lease.loading * 1e3:.1f}, "
    if not reported:
        return [*headers, (_TIMING, f"{waits}infer;dur={seconds * 1e3:.1f}".encode())]
    return [(name, waits.encode() + value if name == _TIMING else value) for name, value in headers]


def _without(address: bytes, location: bytes) -> bytes:
    rest = location.removeprefix(address)
    return (rest or b"/") if rest[:1] in {b"", b"/", b"?"} else location
