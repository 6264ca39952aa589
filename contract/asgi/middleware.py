"""The outermost middleware of every app: request ids, access log, metrics, and the last exception handler."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.asgi import metrics
from contract.asgi.errors import DEFAULT_FORM, ErrorForm, send_error
from contract.asgi.frames import Frames, close_frame
from contract.errors import ServeError
from contract.server_events import server_event

access = logging.getLogger("access")
"""One line a request: `timestamp | request_id | client_ip | endpoint | status | duration_ms | model`."""

_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_ENDS_OF_EVENT = (b"\n\n", b"\r\n\r\n", b"\r\r")
QUIET = frozenset({"/health", "/healthz", "/v1/health", "/ready", "/metrics", "/waits"})
"""Endpoints that are asked again and again, by programs that watch ours."""


def header(scope: Scope, name: bytes) -> str | None:
    """A request header's value or None. Searches the raw list, which is faster than building Starlette's `Headers`."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


class HeadAsGet:
    """Middleware that answers HEAD wherever GET is served: with the same headers, and without a body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head_only(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                # The response is complete now: an endless stream sees that its client has disconnected.
                await send({"type": "http.response.body", "body": b""})

        await self.app({**scope, "method": "GET"}, receive, send_head_only)


class RequestMiddleware:
    """Pure ASGI middleware. Sets `request_id` in the scope; inner code may set `endpoint_label` and `model` there.

    `form_of` chooses the form of a request's errors, which is `error_form` in the scope.
    An exception becomes the response if none has begun. A ServeError becomes the last event of an event stream that has
    begun, except inside an event, and the Close frame of a WebSocket, except inside a frame. All other responses are
    aborted. The frames that a WebSocket's server has sent are in the scope as `frames`.
    """

    def __init__(self, app: ASGIApp, form_of: Callable[[Scope], ErrorForm] = lambda _: DEFAULT_FORM) -> None:
        self.app = app
        self._form_of = form_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["error_form"] = form = self._form_of(scope)
        started = time.perf_counter()
        scope["request_id"] = request_id = _request_id(scope)
        status, is_event_stream, last = 0, False, b""
        frames: Frames | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status, is_event_stream, last, frames
            if message["type"] == "http.response.start":
                status, is_event_stream = message["status"], _is_event_stream(message)
                _complete_headers(message, request_id, started, form.id_header)
                if status == 101:
                    scope["frames"] = frames = Frames()
            elif frames:
                frames.feed(message.get("body", b""))
            else:
                last = message.get("body") or last
            await send(message)

        metrics.ACTIVE.inc()
        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:
            if not status:
                await send_error(send_with_id, error, request_id, scope["error_form"])
            elif is_event_stream and isinstance(error, ServeError) and (not last or last.endswith(_ENDS_OF_EVENT)):
                await send({"type": "http.response.body", "body": server_event(form.body(error, request_id))})
            elif frames and isinstance(error, ServeError) and frames.between_frames and not frames.closed:
                await send({"type": "http.response.body", "body": close_frame(error)})
            else:
                raise  # the server aborts the connection, so that the response does not look complete
        finally:
            metrics.ACTIVE.dec()
            _record(scope, request_id, status, time.perf_counter() - started)


def _request_id(scope: Scope) -> str:
    for key, value in scope["headers"]:
        if key == b"x-request-id" and _ID.fullmatch(value):
            return str(value, "latin-1")
    return uuid.uuid4().hex


def _complete_headers(message: Message, request_id: str, started: float, also: bytes | None) -> None:
    """Add the request's id, `also` under the name that the API's clients know, and the time if it is not there."""
    headers = [header for header in message.get("headers", ()) if header[0] != b"x-request-id"]
    headers += [(name, request_id.encode()) for name in (b"x-request-id", also) if name]
    if not any(name == b"server-timing" for name, _ in headers):
        took = (time.perf_counter() - started) * 1e3
        headers.append((b"server-timing", b"queue;dur=0, load;dur=0, infer;dur=%.1f" % took))
    message["headers"] = headers


def _is_event_stream(message: Message) -> bool:
    headers = dict(message.get("headers", ()))
    return bytes(headers.get(b"content-type", b"")).startswith(b"text/event-stream")


def _endpoint(scope: Scope, status: int) -> str:
    """The endpoint's label for metrics and log. Requests to unknown paths share one label, so labels stay few."""
    if label := scope.get("endpoint_label") or getattr(scope.get("route"), "path", None):
        return str(label)
    return "unmatched" if status in {401, 403, 404, 405, 429} else str(scope["path"])


def _record(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    endpoint = _endpoint(scope, status)
    code = status or 499  # nothing was sent: the client disconnected
    metrics.count(endpoint, code, seconds)
    level = logging.DEBUG if endpoint in QUIET else logging.INFO
    if access.isEnabledFor(level):
        client = scope["client"][0] if scope.get("client") else "-"
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        model = scope.get("model") or "-"
        access.log(level, f"{now} | {request_id} | {client} | {endpoint} | {code} | {seconds * 1e3:.1f} | {model}")
