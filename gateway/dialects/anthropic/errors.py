"""Errors in the form of Anthropic's API. Source: platform.claude.com/docs/en/api/errors."""

from __future__ import annotations

import json
from typing import Any

from contract.asgi.errors import ErrorForm
from contract.errors import NeverFits, ServeError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_document(error: ServeError, request_id: str | None) -> dict[str, Any]:
    """The body of an error, which is also the event that ends a stream. `code`, `param` and `details` are our own."""
    fallback = "api_error" if error.status >= 500 else "invalid_request_error"
    kind = "api_error" if isinstance(error, NeverFits) else _TYPES.get(error.status, fallback)
    ours = {"code": error.code, "param": error.param, "details": error.details}
    return {"type": "error", "error": {"type": kind, "message": error.message, **ours}, "request_id": request_id}


def _body(error: ServeError, request_id: str | None) -> bytes:
    return json.dumps(error_document(error, request_id), ensure_ascii=False).encode()


ANTHROPIC_ERRORS = ErrorForm(_body, id_header=b"request-id")
