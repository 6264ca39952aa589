"""Keeps the last requests: for which model, with whose key, how long each phase took, and how they ended."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.asgi.middleware import QUIET, header
from contract.errors import ServeError
from contract.request_log import LoggedRequest
from gateway.captured_bodies import BodyCapture, BodyPieces

KEPT = 1000
"""Requests that are listed."""
PULSE = 15.0
"""Seconds after which a stream of changes shows a sign of life."""
_TOGETHER = 0.1
"""Seconds for which changes are collected, so that a thousand requests a second cost a reader little."""
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST = 200
_MAX_ERROR = 64 << 10
_PHASE = re.compile(rb"(\w+);dur=([\d.]+)")
_NO_CODE = "unknown"
_BROKEN = 499
"""The status of a request whose client disconnected before its answer began, as in the access log."""


@dataclass(slots=True)
class _SeenAnswer:
    """What is seen of an answer while it is sent."""

    started: float
    status: int = 0
    first_byte: float | None = None
    phases: dict[str, float] = field(default_factory=dict)
    content_type: str = ""
    is_stream: bool = False
    sent: int = 0
    beginning: bytes = b""  # of an error
    last: bytes = b""
    complete: bool = False

    def see(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.first_byte = message["status"], time.perf_counter() - self.started
            headers = dict(message.get("headers", ()))
            timing = _PHASE.findall(headers.get(b"server-timing", b""))
            self.phases = {name.decode(): round(float(value) / 1e3, 4) for name, value in timing if len(name) < 20}
            self.content_type = headers.get(b"content-type", b"").decode("latin-1")
            self.is_stream = headers.get(b"content-type", b"").startswith(b"text/event-stream")
        elif body := message.get("body", b""):
            self.sent += len(body)
            if self.status >= 400 and len(self.beginning) < _MAX_ERROR:
                self.beginning += body[:_MAX_ERROR]
            if self.is_stream:
                self.last = bytes(body[-_MAX_ERROR:])
        self.complete |= message["type"] == "http.response.body" and not message.get("more_body")

    @property
    def error(self) -> str | None:
        """The code of the error that was sent as the answer, or as the last event of a stream."""
        if self.status >= 400:
            return _code_in(self.beginning)
        event = self.last.rstrip().rpartition(b"\n\n")[2]
        return _code_in(event[5:]) if self.is_stream and event.startswith(b'data: {"error"') else None


class RequestLog:
    """The last requests, in memory. Used from the event loop only."""

    def __init__(self, capture: BodyCapture | None = None) -> None:
        self.capture = capture or BodyCapture()
        self._keeping: set[asyncio.Task[None]] = set()
        self.seq = 0
        self._count = 0
        self._requests: dict[int, LoggedRequest] = {}  # by number, in order of arrival
        self._changed = asyncio.Event()

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """An app whose requests are kept. `RequestMiddleware` must be around it."""

        async def logged(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] in QUIET:
                await app(scope, receive, send)
            else:
                await self._run(app, scope, receive, send)

        return logged

    def listed(self, *, before: int | None = None) -> list[LoggedRequest]:
        """The requests, the newest first; with `before`, those of a lower number."""
        requests = reversed(list(self._requests.values()))
        return [request for request in requests if before is None or request.number < before]

    async def since(self, seq: int) -> AsyncIterator[LoggedRequest | None]:
        """Yield each request that changed after `seq`, and then as they change; None for a sign of life."""
        while True:
            changed = self._changed
            for request in sorted(self._requests.values(), key=lambda request: request.seq):
                if request.seq > seq:
                    seq = request.seq
                    yield request
            try:
                async with asyncio.timeout(PULSE):
                    await changed.wait()
            except TimeoutError:
                yield None
            else:
                await asyncio.sleep(_TOGETHER)

    async def _run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _SeenAnswer(time.perf_counter())
        is_read = scope["method"] in _READS
        request = self._begun(scope)
        if not is_read:
            self._put(request)

        sent, answered = BodyPieces(), BodyPieces()
        captures = self.capture.count > 0 and not is_read

        async def seeing(message: Message) -> None:
            answer.see(message)
            if captures:
                self.capture.take(answered, message.get("body", b""))
            await send(message)

        async def reading() -> Message:
            message = await receive()
            self.capture.take(sent, message.get("body", b""))
            return message

        error: str | None = None
        try:
            await app(scope, reading if captures else receive, seeing)
        except Exception as failure:
            error = failure.code if isinstance(failure, ServeError) else ServeError.code
            if not answer.status:
                answer.status = scope["error_form"].status(failure) if isinstance(failure, ServeError) else 500
            raise
        finally:
            if not is_read or scope.get("model") or answer.status >= 500:
                self._put(_ended(request, scope, answer, error))
            if captures:
                types = (header(scope, b"content-type") or "", answer.content_type)
                self._keep(request.number, (sent, types[0]), (answered, types[1]))

    def found(self, id_: str) -> LoggedRequest | None:
        """The newest request with an id."""
        return next((request for request in self.listed() if request.id == id_), None)

    def _keep(self, number: int, sent: tuple[BodyPieces, str], answer: tuple[BodyPieces, str]) -> None:
        task = asyncio.get_running_loop().create_task(self.capture.keep(number, sent, answer))
        self._keeping.add(task)  # the event loop itself holds tasks only weakly
        task.add_done_callback(self._keeping.discard)

    def _begun(self, scope: Scope) -> LoggedRequest:
        self._count += 1
        return LoggedRequest(
            seq=0,
            number=self._count,
            id=scope["request_id"],
            time=round(time.time(), 3),
            method=scope["method"],
            path=scope["path"][:_LONGEST],
            client=scope["client"][0] if scope.get("client") else None,
            job=scope.get("job_priority") is not None,
        )

    def _put(self, request: LoggedRequest) -> None:
        self.seq += 1
        request.seq = self.seq
        self._requests[request.number] = request
        while len(self._requests) > KEPT:
            del self._requests[next(iter(self._requests))]
        self._changed.set()
        self._changed = asyncio.Event()


def _ended(request: LoggedRequest, scope: Scope, answer: _SeenAnswer, error: str | None) -> LoggedRequest:
    principal, model = scope.get("principal"), scope.get("model")
    status = answer.status or _BROKEN
    if error is None and answer.status and not answer.complete:
        error = "client_disconnected"
    return request.model_copy(
        update={
            "model": model and str(model)[:_LONGEST],
            "key": principal and principal.name[:_LONGEST],
            "stream": answer.is_stream,
            "status": status,
            "error": error or answer.error or ("client_disconnected" if status == _BROKEN else None),
            "seconds": round(time.perf_counter() - answer.started, 4),
            "first_byte": answer.first_byte and round(answer.first_byte, 4),
            "phases": answer.phases,
            "bytes_sent": answer.sent,
        }
    )


def _code_in(body: bytes) -> str:
    """The code of an error in any of the forms in which paths write errors."""
    try:
        document: Any = json.loads(body)
        error = document.get("error", document)
        code = error.get("code") or error.get("type") if isinstance(error, dict) else None
    except (ValueError, AttributeError, RecursionError):
        return _NO_CODE
    return str(code)[:_LONGEST] if code else _NO_CODE
