"""Errors as Cohere's and Jina's clients read them, beside our own envelope: `message` and `id`, and `detail`.

Sources: docs.cohere.com/reference/errors; LangChain's and LlamaIndex's clients of Jina, which raise what `detail` says.
"""

from __future__ import annotations

import json

from contract.asgi.errors import ErrorForm
from contract.errors import ServeError


def _body(error: ServeError, request_id: str | None) -> bytes:
    theirs = {"id": request_id, "message": error.message, "detail": error.message}
    return json.dumps({**error.envelope(request_id), **theirs}, ensure_ascii=False).encode()


RANKING_ERRORS = ErrorForm(_body)
