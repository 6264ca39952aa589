"""Forwards requests to workers: leases a worker of the model named in a header, and relays bytes in both directions.

The manager never parses a body and never parses a response. A lease ends with the worker's last byte; what the client
has not read by then is spooled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import aiohttp
from starlette.types import Receive, Scope, Send

from contract.asgi import relay
from contract.asgi.body import ClientDisconnected, cancel_on_disconnect
from contract.asgi.errors import send_error
from contract.asgi.middleware import header
from contract.errors import BadRequest, WorkerDied
from contract.tasks import all_tasks
from manager.answer_body import AnswerBody
from manager.request_body import RequestBody
from manager.scheduling.pool import Pool
from manager.scheduling.wait_queue import Lease, evicted
from manager.spool import SpoolSpace
from manager.state.worker import Worker
from manager.waiting_requests import WaitingRequests

MODEL = b"x-enginehouse-model"
KEEP_ALIVE = b"x-enginehouse-keep-alive"
DEADLINE = b"x-enginehouse-deadline"
GATEWAY = b"x-enginehouse-gateway"
RETRY = (b"x-enginehouse-retry", b"1")
TIMING = b"server-timing"
_NOT_FOR_WORKERS = {MODEL, KEEP_ALIVE, DEADLINE, GATEWAY, b"authorization", b"x-api-key", b"x-request-id", b"cookie"}
_DROPPED = relay.HOP_BY_HOP | _NOT_FOR_WORKERS


class Proxy:
    """ASGI app for every request that goes to a worker."""

    def __init__(self, pool: Pool, waiting: WaitingRequests, space: SpoolSpace) -> None:
        self._pool = pool
        self._waiting = waiting
        self._space = space
        self._client: aiohttp.ClientSession | None = None
        self._task_paths = {task.path for task in all_tasks().values()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        scope["endpoint_label"] = path if path in self._task_paths else "passthrough"
        scope["model"] = model = _model(scope)
        body, answer = RequestBody(receive), AnswerBody(send, scope["flow"], self._space, scope["request_id"])
        keep_alive, max_wait = _seconds(scope, KEEP_ALIVE), _seconds(scope, DEADLINE)
        while_waiting = partial(self._while_waiting, scope, body)
        with suppress(ClientDisconnected):
            try:
                async with self._pool.lease(
                    model, keep_alive, max_wait, while_waiting=while_waiting, request_id=scope["request_id"]
                ) as lease:
                    await self._relay(lease, scope, body, answer, send)
                await answer.finish(body)
            finally:
                body.close()
                answer.close()

    async def close(self) -> None:
        """Close the connections to workers."""
        if self._client:
            await self._client.close()

    @asynccontextmanager
    async def _while_waiting(self, scope: Scope, body: RequestBody) -> AsyncIterator[None]:
        async with self._waiting.waiting(header(scope, GATEWAY) or ""), body.spooling():
            yield

    async def _relay(self, lease: Lease, scope: Scope, body: RequestBody, answer: AnswerBody, send: Send) -> None:
        if self._client is None:
            self._client = relay.client_session()
        process = lease.worker.process
        assert process is not None
        first_chunk, whole = await body.first_chunk()
        headers = _request_headers(scope, process.token)
        if not whole and (length := header(scope, b"content-length")):
            headers.append(("content-length", length))  # a stream of known length is sent without chunked encoding
        content = first_chunk if whole else body.stream(first_chunk)
        url = relay.upstream_url(process.url, scope)
        head_sent = False
        try:
            async with cancel_on_disconnect(body.wait_for_disconnect):
                started = time.perf_counter()
                async with relay.open_upstream(self._client, scope["method"], url, headers, content) as response:
                    lease.status = response.status
                    chunks = relay.iter_chunks(response)
                    # The head waits for the first chunk: a worker that dies before it may be replaced by a retry.
                    first = await anext(chunks, b"")
                    head = _response_headers(lease, response, time.perf_counter() - started)
                    head_sent = True
                    await relay.send_head(send, response.status, head)
                    if response.content.at_eof():
                        answer.end(first)  # head and body of a whole answer are sent together
                    else:
                        await answer.take(first, chunks)
        except relay.UpstreamError as error:
            if body.disconnected:
                raise ClientDisconnected from None
            lease.status = WorkerDied.status
            failure = evicted(lease.worker) if lease.worker.cut_short else error
            if head_sent:
                answer.break_off(failure)  # so that the client does not take it for complete
            elif lease.worker.cut_short:
                raise failure from None
            else:
                await _send_worker_died(send, lease.worker, error, scope["request_id"])


def _request_headers(scope: Scope, token: str) -> list[tuple[str, str]]:
    """The request's headers for the worker."""
    headers = [(str(k, "latin-1"), str(v, "latin-1")) for k, v in scope["headers"] if k not in _DROPPED]
    return [*headers, ("authorization", f"Bearer {token}"), ("x-request-id", scope["request_id"])]


async def _send_worker_died(send: Send, worker: Worker, error: relay.UpstreamError, request_id: str) -> None:
    """Send the error that the worker died before it answered, marked so that the gateway may retry."""
    process = worker.process
    assert process is not None
    code: int | None = None
    with suppress(TimeoutError):  # the connection breaks a moment before the exit is noticed
        code = await asyncio.wait_for(asyncio.shield(process.wait()), 1.0)
    how = f"exit code {code}" if code is not None else str(error)
    details = {"began": False, "exit_code": code, "worker": worker.name, "log_tail": process.log_tail()}
    died = WorkerDied(f"{worker.name} died while it worked on this request ({how}).", details=details)

    async def send_with_retry(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], RETRY]  # type: ignore[misc]
        await send(message)

    await send_error(send_with_retry, died, request_id)  # type: ignore[arg-type]


def _response_headers(lease: Lease, response: aiohttp.ClientResponse, seconds: float) -> relay.RawHeaders:
    """The response's headers with a Server-Timing of queue, load and inference; the worker's own figure wins."""
    headers = relay.response_headers(response)
    reported = any(name == TIMING for name, _ in headers)
    waits = f"queue;dur={lease.queued * 1e3:.1f}, load;dur={lease.loading * 1e3:.1f}, "
    if not reported:
        return [*headers, (TIMING, f"{waits}infer;dur={seconds * 1e3:.1f}".encode())]
    return [(name, waits.encode() + value if name == TIMING else value) for name, value in headers]


def _model(scope: Scope) -> str:
    """The model's id. aiohttp encodes headers as UTF-8, so an id may use any script."""
    return (header(scope, MODEL) or "").encode("latin-1").decode(errors="replace")


def _seconds(scope: Scope, name: bytes) -> float | None:
    value = header(scope, name)
    try:
        return None if value is None else float(value)
    except ValueError:
        raise BadRequest(f"The header {name.decode()} must be a number of seconds, not {value!r}.") from None
