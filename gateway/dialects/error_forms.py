"""In which form a request's errors are written: one envelope, with upper-case codes under `/api`, or a dialect's."""

from __future__ import annotations

import json
from functools import cache

from starlette.types import Scope

from contract.asgi.errors import ErrorForm
from contract.asgi.middleware import header
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
from contract.tasks.embeddings import EMBEDDINGS
from contract.tasks.rerank import RERANK
from gateway.dialects import all_dialects
from gateway.dialects.anthropic.errors import ANTHROPIC_ERRORS
from gateway.dialects.anthropic.models import VERSION_HEADER
from gateway.dialects.dialect import DialectRoute
from gateway.dialects.plain_paths import single_slashes
from gateway.dialects.ranking_errors import RANKING_ERRORS

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
    """The forms of dialects that have their own, by path; of several, the first, until a body says which it is."""
    dialects = [dialect for dialect in all_dialects().values() if dialect.errors]
    paths = [(path, dialect.errors) for dialect in dialects for path in dialect.paths if dialect.errors]
    others = {path for dialect in all_dialects().values() if not dialect.errors for path in dialect.paths}
    own = {path: form for path, form in reversed(paths) if path not in others}
    return own | {EMBEDDINGS.path: RANKING_ERRORS, RERANK.path: RANKING_ERRORS}


def form_of_route(route: DialectRoute) -> ErrorForm | None:
    """The form of a route's own dialect, where another dialect has the path too; None if it has none."""
    return next((dialect.errors for dialect in all_dialects().values() if route in dialect.routes), None)


def form_of(scope: Scope) -> ErrorForm:
    """The form of a request's errors: that of the dialect whose path it has, or whose client sent it.

    Other paths have that of the paths around them. Anthropic's clients send their header to paths that others use too.
    """
    path = single_slashes(scope["path"]).rstrip("/") or "/"  # as requests are answered whose paths have such slashes
    if own := _own_forms().get(path) or _own_forms().get(f"/v1{path}"):
        return own
    if header(scope, VERSION_HEADER) is not None:
        return ANTHROPIC_ERRORS
    return UPPER_CASE if path.startswith("/api/") else _DEFAULT
