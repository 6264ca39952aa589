"""The way through: a request that names its model in a header is leased a worker and relayed, byte for byte.

The manager never parses a body and never parses a response; it holds the lease until the last byte is out.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import aiohttp
from starlette.types import Receive, Scope, Send

from contract.asgi import relay
from contract.asgi.body import ClientDisconnected, cancel_on_disconnect
from contract.asgi.errors import send_error
from contract.asgi.middleware import header
from contract.errors import BadRequest, WorkerDied
from contract.tasks import all_tasks
from manager.request_body import RequestBody
from manager.scheduling.pool import Pool
from manager.scheduling.wait_queue import Lease
from manager.state.worker import Worker

MODEL = b"x-enginehouse-model"
KEEP_ALIVE = b"x-enginehouse-keep-alive"
DEADLINE = b"x-enginehouse-deadline"
RETRY = (b"x-enginehouse-retry", b"1")
TIMING = b"server-timing"
_OURS = {MODEL, KEEP_ALIVE, DEADLINE, b"authorization", b"x-api-key", b"x-request-id", b"cookie"}
_DROPPED = relay.HOP_BY_HOP | _OURS


class Proxy:
    """ASGI app for everything that goes to a worker."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._client: aiohttp.ClientSession | None = None
        self._tasks = {task.path for task in all_tasks().values()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        scope["endpoint_label"] = path if path in self._tasks else "passthrough"
        scope["model"] = model = _model(scope)
        inbox = RequestBody(receive)
        keep_alive, max_wait = _seconds(scope, KEEP_ALIVE), _seconds(scope, DEADLINE)
        with suppress(ClientDisconnected):
            try:
                async with self._pool.lease(model, keep_alive, max_wait, meanwhile=inbox.held) as lease:
                    await self._relay(lease, scope, inbox, send)
            finally:
                inbox.close()

    async def close(self) -> None:
        """Close the connections to workers."""
        if self._client:
            await self._client.close()

    async def _relay(self, lease: Lease, scope: Scope, inbox: RequestBody, send: Send) -> None:
        if self._client is None:
            self._client = relay.client_session()
        process = lease.worker.process
        assert process is not None
        begin, whole = await inbox.first()
        headers = _onward(scope, process.token)
        if not whole and (length := header(scope, b"content-length")):
            headers.append(("content-length", length))  # a stream of known length need not be sent in chunks
        body = begin if whole else inbox.stream(begin)
        url = relay.upstream_url(process.url, scope)
        sent = False
        try:
            async with cancel_on_disconnect(inbox.departure):
                started = time.perf_counter()
                async with relay.open_upstream(self._client, scope["method"], url, headers, body) as response:
                    answer = relay.iter_chunks(response)
                    first = await anext(answer, b"")
                    head = _head(lease, response, time.perf_counter() - started)
                    sent = True
                    await relay.send_head(send, response.status, head)
                    await relay.send_body(send, response, first, answer)
        except relay.UpstreamError as error:
            if inbox.left:
                raise ClientDisconnected from None
            if sent:
                raise  # the head is out: the connection is broken off, so that nobody takes the answer for whole
            await _send_death(send, lease.worker, error, scope["request_id"])


def _onward(scope: Scope, token: str) -> list[tuple[str, str]]:
    """The request's headers as the worker gets them."""
    headers = [(str(k, "latin-1"), str(v, "latin-1")) for k, v in scope["headers"] if k not in _DROPPED]
    return [*headers, ("authorization", f"Bearer {token}"), ("x-request-id", scope["request_id"])]


async def _send_death(send: Send, worker: Worker, error: relay.UpstreamError, request_id: str) -> None:
    """Tell the gateway that the worker died before it answered: it may try again."""
    process = worker.process
    assert process is not None
    code: int | None = None
    with suppress(TimeoutError):  # a connection is lost a moment before the exit is noticed
        code = await asyncio.wait_for(asyncio.shield(process.wait()), 1.0)
    how = f"exit code {code}" if code is not None else str(error)
    details = {"began": False, "exit_code": code, "worker": worker.name, "log_tail": process.log_tail()}
    death = WorkerDied(f"{worker.name} died while it worked on this request ({how}).", details=details)

    async def with_retry(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], RETRY]  # type: ignore[misc]
        await send(message)

    await send_error(with_retry, death, request_id)  # type: ignore[arg-type]


def _head(lease: Lease, response: aiohttp.ClientResponse, seconds: float) -> relay.RawHeaders:
    """The answer's headers, with the time that it took: in the queue, to load, and (the worker's own word) to infer."""
    headers = relay.response_headers(response)
    told = next((value for name, value in headers if name == TIMING), None)
    waits = f"queue;dur={lease.queued * 1e3:.1f}, load;dur={lease.loaded * 1e3:.1f}, "
    if told is None:
        return [*headers, (TIMING, f"{waits}infer;dur={seconds * 1e3:.1f}".encode())]
    return [(name, waits.encode() + value if name == TIMING else value) for name, value in headers]


def _model(scope: Scope) -> str:
    """The model's id; aiohttp writes headers in UTF-8, whatever alphabet the id is in."""
    return (header(scope, MODEL) or "").encode("latin-1").decode(errors="replace")


def _seconds(scope: Scope, name: bytes) -> float | None:
    value = header(scope, name)
    try:
        return None if value is None else float(value)
    except ValueError:
        raise BadRequest(f"The header {name.decode()} must be a number of seconds, not {value!r}.") from None
