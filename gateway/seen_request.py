"""One request as the gateway sees it pass: cheap to keep for every request, and put into words when it is read."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from starlette.types import Message, Scope

from contract.errors import ServeError
from contract.request_log import LoggedRequest

_LONGEST = 200
_MAX_ERROR = 64 << 10
_PHASE = re.compile(rb"(\w+);dur=([\d.]+)")
_NO_CODE = "unknown"
_BROKEN = 499
"""The status of a request whose client disconnected before its answer began, as in the access log."""


class SeenRequest:
    """A request and what is seen of its answer while it is sent."""

    __slots__ = (
        "_beginning",
        "_complete",
        "_error",
        "_first_byte",
        "_is_stream",
        "_job",
        "_last",
        "_timing",
        "client",
        "content_type",
        "id",
        "key",
        "method",
        "model",
        "number",
        "path",
        "seconds",
        "sent",
        "seq",
        "started",
        "status",
        "time",
    )

    def __init__(self, number: int, scope: Scope) -> None:
        self.number, self.seq = number, 0
        self.time, self.started = time.time(), time.perf_counter()
        self.id: str = scope["request_id"]
        self.method: str = scope["method"]
        self.path: str = scope["path"][:_LONGEST]
        self.client: str | None = scope["client"][0] if scope.get("client") else None
        self.model: str | None = None
        self.key: str | None = None
        self._job = scope.get("job_priority") is not None
        self.status, self.sent = 0, 0
        self.seconds: float | None = None  # until it has ended
        self.content_type = self._timing = self._beginning = self._last = b""
        self._first_byte: float | None = None
        self._is_stream = self._complete = False
        self._error: str | None = None

    def see(self, message: Message) -> None:
        """Note what a message of the answer shows."""
        if message["type"] == "http.response.start":
            self.status, self._first_byte = message["status"], time.perf_counter() - self.started
            for name, value in message.get("headers", ()):
                if name == b"server-timing":
                    self._timing = value[:_LONGEST]
                elif name == b"content-type":
                    self.content_type = value[:_LONGEST]
            self._is_stream = self.content_type.startswith(b"text/event-stream")
            return
        if body := message.get("body", b""):
            self.sent += len(body)
            if self.status >= 400 and len(self._beginning) < _MAX_ERROR:
                self._beginning += body[:_MAX_ERROR]
            if self._is_stream:
                self._last = bytes(body[-_MAX_ERROR:])
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._complete = True

    def end(self, scope: Scope, failure: Exception | None) -> None:
        """The request is over, with the exception that its answer ended with."""
        if failure and not self.status:
            is_ours = isinstance(failure, ServeError)
            self.status = scope["error_form"].status(failure) if is_ours else 500
        principal, model = scope.get("principal"), scope.get("model")
        self.model = model and str(model)[:_LONGEST]
        self.key = principal and principal.name[:_LONGEST]
        self.seconds = time.perf_counter() - self.started
        self._error = self._outcome(failure)
        self.status = self.status or _BROKEN
        self._beginning = self._last = b""

    def _outcome(self, failure: Exception | None) -> str | None:
        """The code of the error that the request ended with."""
        if failure:
            return failure.code if isinstance(failure, ServeError) else ServeError.code
        if not (self.status and self._complete):
            return "client_disconnected"
        if self.status >= 400:
            return _code_in(self._beginning)
        event = self._last.rstrip().rpartition(b"\n\n")[2] if self._is_stream else b""
        return _code_in(event[5:]) if event.startswith(b'data: {"error"') else None

    def as_logged(self) -> LoggedRequest:
        """The request as clients read it, as of now."""
        has_ended = self.seconds is not None
        return LoggedRequest(
            seq=self.seq,
            number=self.number,
            id=self.id,
            time=round(self.time, 3),
            method=self.method,
            path=self.path,
            model=self.model,
            key=self.key,
            client=self.client,
            job=self._job,
            stream=has_ended and self._is_stream,
            status=self.status if has_ended else None,
            error=self._error,
            seconds=_rounded(self.seconds),
            first_byte=_rounded(self._first_byte) if has_ended else None,
            phases=self._phases() if has_ended else {},
            bytes_sent=self.sent if has_ended else 0,
        )

    def _phases(self) -> dict[str, float]:
        """The seconds of `Server-Timing`."""
        timing = _PHASE.findall(self._timing)
        return {name.decode(): round(float(value) / 1e3, 4) for name, value in timing if len(name) < 20}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _code_in(body: bytes) -> str:
    """The code of an error in any of the forms in which paths write errors."""
    try:
        document: Any = json.loads(body)
        error = document.get("error", document)
        code = error.get("code") or error.get("type") if isinstance(error, dict) else None
    except (ValueError, AttributeError, RecursionError):
        return _NO_CODE
    return str(code)[:_LONGEST] if code else _NO_CODE
