"""Errors in the form of Anthropic's API. Source: platform.claude.com/docs/en/api/errors."""

from __future__ import annotations

import json
from typing import Any

from contract.asgi.errors import OVERLOADS, ErrorForm
from contract.errors import ServeError

_OVERLOADED = 529
"""The status of overloads. Other errors that pass keep their 503."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    _OVERLOADED: "overloaded_error",
}


def status_of(error: ServeError) -> int:
    """The HTTP status that Anthropic's API has for the error: 529 if the server is overloaded."""
    return _OVERLOADED if isinstance(error, OVERLOADS) else error.status


def error_document(error: ServeError, request_id: str | None) -> dict[str, Any]:
    """The body of an error, which is also the event that ends a stream. `code`, `param` and `details` are our own."""
    fallback = "api_error" if error.status >= 500 else "invalid_request_error"
    kind = _TYPES.get(status_of(error), fallback)
    ours = {"code": error.code, "param": error.param, "details": error.details}
    return {"type": "error", "error": {"type": kind, "message": error.message, **ours}, "request_id": request_id}


def _body(error: ServeError, request_id: str | None) -> bytes:
    return json.dumps(error_document(error, request_id), ensure_ascii=False).encode()


ANTHROPIC_ERRORS = ErrorForm(_body, status_of, id_header=b"request-id")
