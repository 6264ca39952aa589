"""Sends one request on to the manager and its answer back: tries again what never began, never hides a break."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from starlette.types import Scope, Send
from yarl import URL

from contract.asgi.relay import (
    HOP_BY_HOP,
    UpstreamError,
    iter_chunks,
    response_headers,
    send_body,
    send_chunks,
    send_head,
)
from contract.errors import DeadlinePassed, KilledWorkers, ServeError, WorkerDied, from_envelope
from gateway.forwarding.manager_client import ManagerClient

ATTEMPTS = 3
"""How many workers a request may end before it is taken for the cause."""

_WHOLE_WRITE = 256 * 1024
_PIECE = 64 * 1024
_DROPPED = HOP_BY_HOP | {b"authorization", b"x-api-key", b"x-request-id", b"x-max-wait", b"cookie"}
_PREFIX = b"x-enginehouse-"


@dataclass(slots=True)
class ForwardedRequest:
    """A request as it goes on: to which model, with which bytes, and how many seconds it may wait."""

    url: URL
    model: str
    body: bytes
    max_wait: float
    request_id: str
    method: str = "POST"
    headers: list[tuple[str, str]] = field(default_factory=list)


def onward_headers(scope: Scope, *, json_body: bool = False) -> list[tuple[str, str]]:
    """The client's headers without what is its own business with the gateway: keys, cookies, our internal names."""
    dropped = _DROPPED | {b"content-type"} if json_body else _DROPPED
    headers = [
        (str(key, "latin-1"), str(value, "latin-1"))
        for key, value in scope["headers"]
        if key not in dropped and not key.startswith(_PREFIX)
    ]
    return [*headers, ("content-type", "application/json")] if json_body else headers


async def forward(manager: ManagerClient, call: ForwardedRequest, send: Send) -> None:
    """Answer the client with the manager's answer, byte for byte.

    Raises ManagerUnreachable, WorkerDied (whole answers), KilledWorkers, or DeadlinePassed between two attempts.
    """
    deadline = time.monotonic() + call.max_wait
    killed: dict[str, Any] = {}
    for attempt in range(1, ATTEMPTS + 1):
        left = max(0.0, deadline - time.monotonic())
        if attempt > 1 and not left:  # the first attempt is the manager's to judge: a free worker may serve it at once
            raise _out_of_time(call, killed)
        headers = _headers(call, attempt, left)
        try:
            async with manager.open(call.method, call.url, headers, _payload(call.body)) as response:
                if not _never_began(response):
                    await pass_on(response, send, call.request_id)
                    return
                killed = from_envelope(await response.json()).details
        except UpstreamError as error:
            if error.began:
                raise
            raise manager.unreachable(error) from error
    message = f"This request ended {ATTEMPTS} workers of {call.model} one after the other, so it is not tried again."
    raise KilledWorkers(f"{message} The worker's last lines are in `details`.", details=killed | {"attempts": ATTEMPTS})


def _never_began(response: aiohttp.ClientResponse) -> bool:
    return response.status == 502 and response.headers.get("x-enginehouse-retry") == "1"


def _headers(call: ForwardedRequest, attempt: int, left: float) -> list[tuple[str, str]]:
    headers = [
        *call.headers,
        ("x-request-id", call.request_id),
        ("x-enginehouse-model", call.model),
        ("x-enginehouse-deadline", f"{left:.3f}"),
        ("x-enginehouse-attempt", str(attempt)),
    ]
    if len(call.body) > _WHOLE_WRITE:
        headers.append(("content-length", str(len(call.body))))
    return headers


def _payload(body: bytes) -> bytes | AsyncIterator[bytes]:
    """A large body goes in pieces, so that no layer below makes a copy of it."""
    return _pieces(body) if len(body) > _WHOLE_WRITE else body


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    view = memoryview(body)
    for offset in range(0, len(view), _PIECE):
        yield bytes(view[offset : offset + _PIECE])


def _out_of_time(call: ForwardedRequest, killed: dict[str, Any]) -> DeadlinePassed:
    message = f"The worker of {call.model} died, and the {call.max_wait:g} s that the request may wait are over."
    return DeadlinePassed(f"{message} Send it again.", details=killed)


async def pass_on(
    response: aiohttp.ClientResponse, send: Send, request_id: str, broken: ServeError | None = None
) -> None:
    """Stream an answer to the client; `broken` is the error that it gets where the answer breaks off (WorkerDied).

    An event stream that breaks off ends with an error event. Of any other answer the head is held until the first byte
    is there: a break before is a clean WorkerDied, a break after leaves the connection to be aborted.
    """
    if response.content_type == "text/event-stream":
        await _pass_events(response, send, (broken or _died()).body(request_id))
    else:
        await _pass_whole(response, send)


async def _pass_events(response: aiohttp.ClientResponse, send: Send, error: bytes) -> None:
    await send_head(send, response.status, response_headers(response))
    try:
        await send_chunks(send, iter_chunks(response))
    except UpstreamError:
        # Ends the event that may be open, so that the error is one of its own; there is no [DONE] after it.
        event = b"\n\ndata: " + error + b"\n\n"
        await send({"type": "http.response.body", "body": event})


async def _pass_whole(response: aiohttp.ClientResponse, send: Send) -> None:
    stream = iter_chunks(response)
    try:
        first = await anext(stream, b"")
    except UpstreamError as error:
        raise _died() from error
    await send_head(send, response.status, response_headers(response))
    await send_body(send, response, first, stream)


def _died() -> WorkerDied:
    message = "The worker died while its answer was on the way, so the answer is not whole. Send the request again."
    return WorkerDied(message, details={"began": True})
