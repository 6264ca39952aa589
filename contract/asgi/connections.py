"""Bounds what one connection, one address and all clients together can take from a server.

uvicorn bounds neither a request's head nor the time that it takes: one endless header would fill the memory and block
the event loop, and idle connections would use up all descriptors.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from contract.asgi import metrics
from contract.asgi.errors import send_error
from contract.asgi.transport import CoalescingTransport
from contract.errors import BadRequest, HeadTooLarge, RequestTimedOut, ServeError, TooManyConnections

log = logging.getLogger(__name__)

_DESCRIPTORS = 65_536
_INVALID = (
    "The request is not valid HTTP/1.1. Check its method, its headers and the length of its body, and that the address "
    "begins with http://, not https://."
)


def raise_descriptor_limit() -> int:
    """Let this process open as many files and connections as the system allows; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


@dataclass(slots=True)
class ConnectionLimits:
    """Limits of one server. Sizes are in bytes, times in seconds, `least_rate` in bytes per second after `grace`.

    `pipelined` requests may wait on one connection for the answers before theirs; after that, it is read no further.
    `per_address` does not count for addresses for which `is_exempt` is true, such as those of proxies. A client that
    takes nothing of its answer for `send_seconds` is cut off; None: never.
    """

    connections: int | None = None
    per_address: int | None = None
    is_exempt: Callable[[str], bool] = lambda _: False
    head_bytes: int = 64 * 1024
    headers: int = 128
    pipelined: int = 16
    head_seconds: float = 30
    least_rate: float = 1024
    grace: float = 30
    send_seconds: float | None = None
    check_every: float = 5
    by_address: Counter[str] = field(default_factory=Counter)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol within `ConnectionLimits`.

    It adds `flow` to the scope of each request: `flow.write_paused` is true while the client has yet to take what was
    sent, so that sending more would wait for it.
    """

    def __init__(self, *arguments: Any, limits: ConnectionLimits, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._limits = limits
        self._phase = "head"  # then "body", "answer", "idle"
        self._since = self.loop.time()
        self._unparsed = 0  # bytes since the last progress: a header, a chunk's extension or a trailer without an end
        self._head_bytes = 0
        self._body_bytes = 0
        self._refused = False
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._sent, self._sent_at = 0, self._since  # when the client last took something, or had taken everything
        self._check: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._output = CoalescingTransport(transport)
        super().connection_made(self._output)  # type: ignore[arg-type]
        limits, address = self._limits, self.client[0] if self.client else ""
        limits.by_address[address] += 1
        self._check = self.loop.call_later(limits.check_every, self._check_progress)
        total = limits.connections
        if total and len(self.connections) > 2 * total:
            self.transport.close()  # there is no room to say why
        elif total and len(self.connections) > total:
            self.app = _Refusal(f"The server has {total} connections open, its limit.")
        elif limits.per_address and limits.by_address[address] > limits.per_address and not limits.is_exempt(address):
            message = f"{address} has {limits.per_address} connections open, the limit for one address."
            self.app = _Refusal(message)

    def connection_lost(self, exc: Exception | None) -> None:
        address = self.client[0] if self.client else ""
        self._limits.by_address[address] -= 1
        if self._limits.by_address[address] <= 0:
            del self._limits.by_address[address]
        if self._check:
            self._check.cancel()
        super().connection_lost(exc)
        for cycle in self._unanswered:  # uvicorn only tells the latest one, which may be waiting for the others
            cycle.disconnected = True
            cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._phase == "idle":
            self._phase, self._since = "head", self.loop.time()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > self._limits.head_bytes and not self.transport.is_closing():
            self._refuse(self._head_too_large())

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence does not say what to do
        if not self._refused:
            self._refuse(BadRequest(_INVALID))

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self._limits.pipelined:
            self._refused, self.cycle.keep_alive = True, False  # the last answer closes the connection
            raise ValueError("too many requests at once")  # stops the parser
        self._head_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase == "body":
            return  # a trailer; the app has read the headers by now
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self._limits.head_bytes or len(self.headers) > self._limits.headers:
            self._refuse(self._head_too_large())
            raise ValueError("the head is too large")  # stops the parser

    def on_headers_complete(self) -> None:
        self._phase, self._since = "body", self.loop.time()
        self._unparsed = self._body_bytes = 0
        super().on_headers_complete()
        if self.cycle and not self.cycle.response_complete:
            self._unanswered.append(self.cycle)
        self.scope["flow"] = self.flow  # type: ignore[typeddict-unknown-key]

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        self._phase = "idle" if self.cycle and self.cycle.response_complete else "answer"
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._unanswered:
            self._unanswered.popleft()
        if self._phase == "answer":
            self._phase = "idle"
        super().on_response_complete()

    def _check_progress(self) -> None:
        limits, elapsed = self._limits, self.loop.time() - self._since
        is_slow = self._body_bytes < (elapsed - limits.grace) * limits.least_rate
        if self._phase == "head" and elapsed > limits.head_seconds and not self._unparsed:
            self.transport.close()  # opened in advance and never used
        elif self._phase == "head" and elapsed > limits.head_seconds:
            self._refuse(RequestTimedOut(f"The request's head did not arrive within {limits.head_seconds:g} s."))
        elif self._phase == "body" and is_slow and not self.flow.read_paused:
            rate = f"{limits.least_rate / 1024:g} KiB/s"
            self._refuse(RequestTimedOut(f"The request's body arrives more slowly than {rate}."))
        self._check_client_reads()
        self._check = self.loop.call_later(limits.check_every, self._check_progress)

    def _check_client_reads(self) -> None:
        """Cut the client off if it has not taken a byte of what waits for it in `send_seconds`."""
        now, limit = self.loop.time(), self._limits.send_seconds
        if not self._output.unsent or self._output.sent > self._sent:
            self._sent, self._sent_at = self._output.sent, now
        elif limit and now - self._sent_at > limit:
            metrics.STALLED_CLIENTS.inc()
            request = "" if self.scope is None else f" to {self.scope['method']} {self.scope['path']}"
            id_ = self.scope and self.scope.get("request_id")
            address = self.client[0] if self.client else "a client"
            log.warning("cut off %s, which read nothing of its answer%s for %g s (%s)", address, request, limit, id_)
            self.transport.abort()

    def _head_too_large(self) -> HeadTooLarge:
        limits = self._limits
        most = f"at most {limits.head_bytes // 1024} KiB and {limits.headers} headers are accepted"
        return HeadTooLarge(f"The request's head is too large: {most}. Send less, for example fewer cookies.")

    def _refuse(self, error: ServeError) -> None:
        """Answer with the error if no other answer has begun, and close the connection."""
        if self._refused:
            self.transport.close()
            return
        self._refused = True
        if self.cycle and not self.cycle.response_complete and (self.cycle.response_started or self._phase == "head"):
            self.transport.close()
            return
        body = error.body()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.status] + head)
        self.transport.write(body)
        # What the client still sends is read and dropped for a moment: closing now would also drop our answer.
        self.loop.call_later(1, self.transport.close)


class _Refusal:
    """An app that answers every request with an error and closes the connection."""

    def __init__(self, message: str) -> None:
        self._error = TooManyConnections(f"{message} Close some, or try again in a moment.", retry_after=1)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        async def send_and_close(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"connection", b"close"))
            await send(message)

        await send_error(send_and_close, self._error, None)
