"""Errors in the form of Text Embeddings Inference, whose clients show the text in `error`.

Source: the OpenAPI document of huggingface/text-embeddings-inference.
"""

from __future__ import annotations

import json

from contract.asgi.errors import OVERLOADS, ErrorForm
from contract.errors import ServeError, TooManyRequests, Unavailable


def _type(error: ServeError) -> str:
    if isinstance(error, (TooManyRequests, *OVERLOADS)):
        return "overloaded"
    if error.status < 500:
        return "validation"
    return "unhealthy" if isinstance(error, Unavailable) else "backend"


def _body(error: ServeError, request_id: str | None) -> bytes:
    """The body of an error. What follows its type is our own."""
    theirs = {"error": error.message, "error_type": _type(error)}
    ours = {"code": error.code, "param": error.param, "request_id": request_id, "details": error.details}
    return json.dumps({**theirs, **ours}, ensure_ascii=False).encode()


TEI_ERRORS = ErrorForm(_body)
