"""In which form each path writes errors: one envelope, with upper-case codes under `/api`."""

from __future__ import annotations

import json
from functools import cache

from contract.asgi.errors import ErrorForm
from contract.errors import (
    BadRequest,
    EngineFailed,
    LoadFailed,
    ModelNotFound,
    NeverFits,
    OutOfMemory,
    QueueFull,
    ServeError,
    TooManyRequests,
    WorkerDied,
)
from gateway.dialects import all_dialects

_CATEGORIES: dict[type[ServeError], str] = {
    BadRequest: "INVALID_REQUEST",
    ModelNotFound: "MODEL_NOT_FOUND",
    LoadFailed: "MODEL_LOAD_FAILED",
    EngineFailed: "INFERENCE_FAILED",
    WorkerDied: "INFERENCE_FAILED",
    OutOfMemory: "RESOURCE_EXHAUSTED",
    NeverFits: "RESOURCE_EXHAUSTED",
    QueueFull: "RESOURCE_EXHAUSTED",
    TooManyRequests: "RATE_LIMIT_EXCEEDED",
}
"""The categories of the homelab API, each with the errors that belong to it; all others keep their own code."""


def upper_case_body(error: ServeError, request_id: str | None) -> bytes:
    """The envelope with an upper-case code: the error's category, or its own code."""
    category = next((name for kind, name in _CATEGORIES.items() if isinstance(error, kind)), error.code.upper())
    envelope = error.envelope(request_id)
    envelope["error"]["code"] = category
    return json.dumps(envelope, ensure_ascii=False).encode()


UPPER_CASE = ErrorForm(upper_case_body)
_DEFAULT = ErrorForm()


@cache
def _own_forms() -> dict[str, ErrorForm]:
    """The forms of dialects that have their own, by path."""
    dialects = [dialect for dialect in all_dialects().values() if dialect.errors]
    return {route.path: dialect.errors for dialect in dialects for route in dialect.routes if dialect.errors}


def form_of(path: str) -> ErrorForm:
    """The form of the errors at a path: its dialect's own, else that of the paths around it."""
    return _own_forms().get(path) or (UPPER_CASE if path.startswith("/api/") else _DEFAULT)
