"""Errors in the form of Ollama's API: `{"error": "…"}`, a sentence. `code` is our own."""

from __future__ import annotations

import json

from contract.asgi.errors import ErrorForm
from contract.errors import ServeError


def _body(error: ServeError, request_id: str | None) -> bytes:
    document = {"error": error.message, "code": error.code, "param": error.param, "request_id": request_id}
    return json.dumps(document, ensure_ascii=False).encode()


OLLAMA_ERRORS = ErrorForm(_body)
