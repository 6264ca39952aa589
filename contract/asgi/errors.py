"""Turns every exception into an error response, in the form of the API whose path was requested."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from contract.errors import (
    BadRequest,
    BodyMemoryFull,
    EngineFailed,
    Evicted,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    OutOfMemory,
    QueueFull,
    ServeError,
    TooLarge,
    TooManyConnections,
    Unauthorized,
    UnsupportedMedia,
)

log = logging.getLogger(__name__)

OVERLOADS = (QueueFull, OutOfMemory, TooManyConnections, BodyMemoryFull, Evicted)
"""Errors of a server that works as it should and has too much to do."""

_BY_STATUS: dict[int, type[ServeError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMedia,
}


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How the paths of one API write an error: its JSON body, and its HTTP status.

    `id_header` is the header in which its clients read the request's id, of every answer; it comes beside ours.
    """

    body: Callable[[ServeError, str | None], bytes] = ServeError.body
    status: Callable[[ServeError], int] = attrgetter("status")
    id_header: bytes | None = None


DEFAULT_FORM = ErrorForm()
"""The envelope of `ServeError`."""


def as_serve_error(error: BaseException) -> ServeError:
    """The ServeError for any exception. Exceptions of other libraries are converted here and nowhere else."""
    if isinstance(error, ServeError):
        return error
    if isinstance(error, HTTPException):
        return _BY_STATUS.get(error.status_code, EngineFailed)(str(error.detail))
    log.error("unexpected error", exc_info=error)
    return ServeError("An unexpected error occurred in the server. Its log has the details under this request id.")


def response(error: BaseException, request_id: str | None, form: ErrorForm = DEFAULT_FORM) -> Response:
    """The error as a Starlette response."""
    failure = as_serve_error(error)
    return Response(form.body(failure, request_id), form.status(failure), failure.headers, "application/json")


async def send_error(send: Send, error: BaseException, request_id: str | None, form: ErrorForm = DEFAULT_FORM) -> None:
    """Send the error as the complete response, from plain ASGI code."""
    failure = as_serve_error(error)
    body = form.body(failure, request_id)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(key.encode(), value.encode()) for key, value in failure.headers.items()]
    await send({"type": "http.response.start", "status": form.status(failure), "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _handler(request: Request, error: Exception) -> Response:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}  # `Allow`, for a 405
    if isinstance(error, HTTPException) and error.status_code == 404:
        error = NotFound(f"There is no endpoint {request.url.path}. GET /docs lists all paths.")
    elif isinstance(error, HTTPException) and error.status_code == 405:
        error = MethodNotAllowed(f"{request.url.path} does not accept {request.method}. GET /docs lists the methods.")
    answer = response(error, request.scope.get("request_id"), request.scope.get("error_form", DEFAULT_FORM))
    answer.headers.update(headers)
    return answer


HTTP_HANDLERS: dict[Any, Any] = {HTTPException: _handler}
"""For the `exception_handlers` of an app directly inside `RequestMiddleware`, which catches all other exceptions."""

HANDLERS: dict[Any, Any] = {ServeError: _handler, **HTTP_HANDLERS}
"""For an app whose own middleware would turn other exceptions into plain text.

Starlette does not call a handler once the response has begun, and hides the exception. An app whose streams may fail
must let a `ServeError` through to `RequestMiddleware`, which makes it their last event.
"""
