"""Forwards one request to the manager and streams the response back.

A request whose worker died before responding is retried; a response that breaks off is never passed on as complete.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
from starlette.types import Send
from yarl import URL

from contract.asgi.event_streams import BUFFERING, EVENTS
from contract.asgi.relay import RawHeaders, UpstreamError, iter_chunks, response_headers, send_body, send_head
from contract.errors import DeadlinePassed, KilledWorkers, ServeError, WorkerDied, from_envelope
from contract.server_events import server_event
from gateway.forwarding.client_headers import Headers
from gateway.forwarding.event_stream import have_the_last, whole_events
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.pieced_body import SMALL, PiecedBody
from gateway.forwarding.signs_of_life import SignPolicy, SignsOfLife, signs_of_life
from gateway.forwarding.spooled_body import SpooledBody

ATTEMPTS = 3
"""How many workers may die on a request before the request is considered the cause."""


@dataclass(slots=True)
class ForwardedRequest:
    """A request ready to forward; `model` is the model's id, `max_wait` the seconds it may wait for a worker.

    `job_priority`: the request is a job's, which yields to others; it waits as long as it takes.
    `signs`: how the stream is kept alive while it waits; None: it is no stream, or gets no signs of life.
    `ends_with_done`: an event stream without the final event `[DONE]` is incomplete, even if it ends in good order.
    """

    url: URL
    model: str
    body: bytes | SpooledBody | PiecedBody
    max_wait: float
    request_id: str
    method: str = "POST"
    ends_with_done: bool = False
    signs: SignPolicy | None = None
    job_priority: int | None = None
    headers: Headers = field(default_factory=list)


async def forward(manager: ManagerClient, request: ForwardedRequest, send: Send) -> None:
    """Send the manager's response to the client, byte for byte.

    Raises ManagerUnreachable, WorkerDied (no complete response), KilledWorkers, or DeadlinePassed between attempts.
    """
    async with signs_of_life(manager, request.request_id, request.signs, send) as signs:
        await _forward(manager, request, signs, send)


async def _forward(manager: ManagerClient, request: ForwardedRequest, signs: SignsOfLife | None, send: Send) -> None:
    deadline = time.monotonic() + request.max_wait
    crash: dict[str, Any] = {}
    for attempt in range(1, ATTEMPTS + 1):
        remaining = max(0.0, deadline - time.monotonic())
        if attempt > 1 and not remaining:  # the manager judges the first attempt: an idle worker may take it at once
            raise _deadline_passed(request, crash)
        headers = internal_headers(request, attempt, remaining)
        try:
            async with manager.open(request.method, request.url, headers, _payload(request.body)) as response:
                if not _may_retry(response):
                    if signs:
                        await signs.stop()
                        send = await signs.sender_for(response)
                    needs_done, interrupted = request.ends_with_done, partial(_interrupted, manager)
                    await relay_response(response, send, request.request_id, interrupted, needs_done=needs_done)
                    return
                crash = await _crash_details(response, manager)
        except UpstreamError as error:
            if error.began:
                raise
            raise manager.unreachable(error) from error
    message = f"{ATTEMPTS} workers of {request.model} died one after another on this request, so it is not retried."
    details = crash | {"attempts": ATTEMPTS}
    raise KilledWorkers(f"{message} The last lines of the worker's log are in `details`.", details=details)


def _may_retry(response: aiohttp.ClientResponse) -> bool:
    """Whether the manager says that the worker died before the first byte of its response."""
    return response.status == 502 and response.headers.get("x-enginehouse-retry") == "1"


async def _crash_details(response: aiohttp.ClientResponse, manager: ManagerClient) -> dict[str, Any]:
    try:
        return from_envelope(await response.json()).details
    except (aiohttp.ClientError, OSError) as error:  # the manager is gone as well
        raise manager.unreachable(error) from error


def internal_headers(request: ForwardedRequest, attempt: int, remaining: float) -> Headers:
    """The headers that go to the manager; `remaining` are the seconds that the request may wait."""
    headers = [
        *request.headers,
        ("x-request-id", request.request_id),
        ("x-enginehouse-model", request.model),
        ("x-enginehouse-deadline", f"{remaining:.3f}"),
        ("x-enginehouse-attempt", str(attempt)),
    ]
    if request.job_priority is not None:
        headers.append(("x-enginehouse-job", str(request.job_priority)))
    if request.signs or request.job_priority is not None:
        headers.append(("x-enginehouse-waits", "1"))
    if not isinstance(request.body, bytes) or len(request.body) > SMALL:
        headers.append(("content-length", str(len(request.body))))
    return headers


def _payload(body: bytes | SpooledBody | PiecedBody) -> bytes | AsyncIterator[bytes] | None:
    """Large bodies are sent in chunks, so that no layer below copies them whole."""
    if not body:
        return None
    if isinstance(body, bytes):
        return PiecedBody([memoryview(body)]).chunks() if len(body) > SMALL else body
    return body.chunks()


def _deadline_passed(request: ForwardedRequest, crash: dict[str, Any]) -> DeadlinePassed:
    message = f"The worker of {request.model} died, and the request's {request.max_wait:g} s of waiting time are over."
    return DeadlinePassed(f"{message} Send the request again.", details=crash)


async def relay_response(
    response: aiohttp.ClientResponse,
    send: Send,
    request_id: str,
    interrupted: Callable[[], ServeError],
    *,
    needs_done: bool = False,
) -> None:
    """Stream a response to the client; `interrupted` makes the error to send if it breaks off.

    An event stream that breaks off (or, if `needs_done`, ends without `[DONE]`) loses its incomplete event and ends
    with an error event. The head of any other response is held back until its first byte: if it breaks off before, the
    client gets the error with its status; after, the connection is aborted.
    """
    if response.content_type == EVENTS:
        await _relay_events(response, send, request_id, interrupted, needs_done)
    else:
        await _relay_whole(response, send, interrupted)


async def _relay_events(
    response: aiohttp.ClientResponse,
    send: Send,
    request_id: str,
    interrupted: Callable[[], ServeError],
    needs_done: bool,
) -> None:
    headers = [header for header in _client_headers(response) if header[0] not in {b"content-length", BUFFERING}]
    headers.append((BUFFERING, b"no"))  # an nginx in front would hold events back; external servers rarely say so
    await send_head(send, response.status, headers)
    is_done = not needs_done
    try:
        async for events in whole_events(iter_chunks(response), needs_last=needs_done):
            is_done = is_done or have_the_last(events)
            await send({"type": "http.response.body", "body": events, "more_body": True})
    except UpstreamError:
        is_done = False
    # The error is an event of its own, and no [DONE] follows it.
    last = b"" if is_done else server_event(interrupted().body(request_id))
    await send({"type": "http.response.body", "body": last})


async def _relay_whole(response: aiohttp.ClientResponse, send: Send, interrupted: Callable[[], ServeError]) -> None:
    chunks = iter_chunks(response)
    try:
        first = await anext(chunks, b"")
    except UpstreamError as error:
        raise interrupted() from error
    await send_head(send, response.status, _client_headers(response))
    await send_body(send, response, first, chunks)


def _client_headers(response: aiohttp.ClientResponse) -> RawHeaders:
    """The response's headers for the client; which pages may read it is for the gateway to say, not for a server."""
    return [header for header in response_headers(response) if not header[0].startswith(b"access-control-")]


def _interrupted(manager: ManagerClient) -> ServeError:
    """The error of a response that breaks off: the worker died, unless it is known that the manager has cut it."""
    message = "The worker died while it sent its response, so the response is incomplete. Send the request again."
    return manager.interruption() or WorkerDied(message, details={"began": True})
