"""Forwards requests to workers: leases a worker of the model named in a header, and relays bytes in both directions.

The manager never parses a body and never parses a response. A lease ends with the worker's last byte; what the client
has not read by then is spooled.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from urllib.parse import quote

import aiohttp
from starlette.types import Receive, Scope, Send
from yarl import URL

from contract.asgi import relay
from contract.asgi.body import ClientDisconnected, cancel_on_disconnect
from contract.asgi.middleware import header
from contract.errors import BadRequest, WorkerDied
from contract.tasks import all_tasks
from manager.answer_body import AnswerBody
from manager.metrics import INFERENCE_SECONDS
from manager.recent_work import RECENT
from manager.request_body import RequestBody
from manager.scheduling.missing_files import MissingFiles
from manager.scheduling.pool import Pool
from manager.scheduling.wait_queue import Claim, Lease, evicted
from manager.spool import SpoolSpace
from manager.state.worker import Worker
from manager.waiting_requests import WaitingRequests
from manager.websocket import relay_websocket
from manager.worker_requests import (
    DEADLINE,
    GATEWAY,
    JOB,
    KEEP_ALIVE,
    MODEL,
    WAITS,
    request_headers,
    send_worker_died,
    with_timing,
)

_PROGRESS_TIMEOUT = aiohttp.ClientTimeout(total=2)


class Proxy:
    """ASGI app for every request that goes to a worker."""

    def __init__(self, pool: Pool, files: MissingFiles, waiting: WaitingRequests, space: SpoolSpace) -> None:
        self._pool = pool
        self._files = files
        self._waiting = waiting
        self._space = space
        self._client: aiohttp.ClientSession | None = None
        self._workers: dict[str, list[Worker]] = {}  # at work, by the request's id: several may share one
        self._task_paths = {task.path for task in all_tasks().values()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        scope["endpoint_label"] = path if path in self._task_paths else "passthrough"
        scope["model"] = model = _model(scope)
        id_, space = scope["request_id"], self._space
        body, answer = RequestBody(receive, space, id_), AnswerBody(send, scope["flow"], space, id_)
        keep_alive, max_wait = _seconds(scope, KEEP_ALIVE), _seconds(scope, DEADLINE)
        claim = Claim(id_, _job_priority(scope))
        while_waiting = partial(self._while_waiting, scope, body)
        succeeded: bool | None = False
        try:
            try:
                if header(scope, WAITS) is None:  # a client without signs of life would give up a long download
                    await self._files.refuse_if_missing(model)
                async with self._pool.lease(
                    model, keep_alive, max_wait, while_waiting=while_waiting, claim=claim
                ) as lease:
                    if scope.get("websocket"):
                        await relay_websocket(lease, scope, body, send)
                        succeeded = True
                        return
                    with self._at_work(id_, lease.worker):
                        await self._relay(lease, scope, body, answer, send)
                await answer.finish(body)
                succeeded = lease.status < 400
            finally:
                body.close()
                answer.close()
        except ClientDisconnected:
            succeeded = None
        finally:
            if succeeded is not None:
                RECENT.count_request(model, succeeded=succeeded)

    async def progress(self, request_id: str) -> dict[str, int] | None:
        """How far the workers are with a request, in `done` and `total` steps; None if they do not say."""
        steps = [await self._progress_in(worker, request_id) for worker in list(self._workers.get(request_id, ()))]
        known = [step for step in steps if step]
        return {name: sum(step[name] for step in known) for name in ("done", "total")} if known else None

    async def _progress_in(self, worker: Worker, request_id: str) -> dict[str, int] | None:
        process = worker.process
        assert process is not None
        assert self._client is not None, "a request that is at work has opened it"
        headers = {"authorization": f"Bearer {process.token}"}
        url = URL(f"{process.url}/progress?{quote(request_id, safe='')}", encoded=True)
        try:
            async with self._client.get(url, headers=headers, timeout=_PROGRESS_TIMEOUT) as response:
                steps: dict[str, int] | None = await response.json() if response.status == 200 else None
                return steps
        except (aiohttp.ClientError, OSError, ValueError):  # an external server, or one that is ending
            return None

    @contextmanager
    def _at_work(self, request_id: str, worker: Worker) -> Iterator[None]:
        workers = self._workers.setdefault(request_id, [])
        workers.append(worker)
        try:
            yield
        finally:
            workers.remove(worker)
            if not workers:
                self._workers.pop(request_id, None)

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
        headers = request_headers(scope, process.token)
        if not whole and (length := header(scope, b"content-length")):
            headers.append(("content-length", length))  # a stream of known length is sent without chunked encoding
        content = (first_chunk or None) if whole else body.stream(first_chunk)
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
                    head = with_timing(relay.response_headers(response), lease, time.perf_counter() - started)
                    head_sent = True
                    await relay.send_head(send, response.status, head)
                    if response.content.at_eof():
                        answer.end(first)  # head and body of a whole answer are sent together
                    else:
                        await answer.take(first, chunks)
                    if response.status < 400:
                        INFERENCE_SECONDS.labels(lease.worker.model).observe(time.perf_counter() - started)
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
                await send_worker_died(send, lease.worker, error, scope["request_id"])


def _model(scope: Scope) -> str:
    """The model's id. aiohttp encodes headers as UTF-8, so an id may use any script."""
    return (header(scope, MODEL) or "").encode("latin-1").decode(errors="replace")


def _job_priority(scope: Scope) -> int | None:
    value = header(scope, JOB)
    try:
        return None if value is None else int(value)
    except ValueError:
        raise BadRequest(f"The header {JOB.decode()} must be a whole number, not {value!r}.") from None


def _seconds(scope: Scope, name: bytes) -> float | None:
    value = header(scope, name)
    try:
        return None if value is None else float(value)
    except ValueError:
        raise BadRequest(f"The header {name.decode()} must be a number of seconds, not {value!r}.") from None
