"""Reads a request to an external server: its body, unchanged, and the few fields that say how to forward it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from pydantic import TypeAdapter, ValidationError
from starlette.types import Receive, Scope

from contract.asgi.body import read_body
from contract.asgi.middleware import header
from contract.durations import Duration
from contract.errors import InvalidField
from contract.json_parser import parse_json
from gateway.forwarding.form_fields import FormFields
from gateway.forwarding.offload import offload
from gateway.forwarding.pieced_body import PiecedBody
from gateway.forwarding.replace_model import replace_model
from gateway.forwarding.spooled_body import SpooledBody

_READ = frozenset({"model", "stream", "keep_alive"})
_DURATION: TypeAdapter[float | None] = TypeAdapter(Duration)


@dataclass(slots=True)
class ExternalRequest:
    """A request's query and body, and of the fields in either: `model`, `stream`, and `keep_alive` in seconds.

    `model` may be of any type, as the client sent it.
    """

    query: bytes
    body: bytes | SpooledBody | PiecedBody
    model: Any = None
    stream: bool = False
    keep_alive: float | None = None
    form: FormFields | None = None

    async def rename_model(self, name: str) -> None:
        """Replace the model's name where the client sent it: in JSON, in a form, and in the query."""
        if isinstance(self.body, bytes):
            if self.body:
                self.body = await offload(len(self.body), replace_model, self.body, name)
        elif isinstance(self.body, SpooledBody):
            for field in self.form.found if self.form else ():
                if field.name == "model":
                    self.body.replace(field.start, field.start + len(field.value), name.encode())
        if query_model(self.query) is not None:
            self.query = _with_model(self.query, name)


@asynccontextmanager
async def read_request(scope: Scope, receive: Receive, limit: int) -> AsyncIterator[ExternalRequest]:
    """Read a request with a body of at most `limit` bytes; the body is removed at the end of the block.

    JSON is kept in memory, and everything else in a file. Raises TooLarge, ClientDisconnected, and BadRequest for JSON
    or a form that is malformed.
    """
    query: bytes = scope["query_string"]
    if scope.get("websocket"):
        yield _request(query, b"", {})  # what follows are frames
        return
    content_type = header(scope, b"content-type") or ""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        body = await read_body(scope, receive, limit)
        fields = await offload(len(body), _json_fields, body) if body else {}
        yield _request(query, body, fields)
        return
    form = FormFields(content_type, _READ) if media_type == "multipart/form-data" else None
    with SpooledBody() as spooled:
        await spooled.fill(scope, receive, limit, form.feed if form else _ignore)
        names = (name for name in _READ if form and form.value(name) is not None)
        yield _request(query, spooled, {name: form.value(name) for name in names if form}, form)


def query_model(query: bytes) -> str | None:
    """The model that a query names, or None."""
    names = [value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if name == "model"]
    return names[-1] if names else None


def _request(
    query: bytes, body: bytes | SpooledBody, fields: dict[str, Any], form: FormFields | None = None
) -> ExternalRequest:
    stream = fields.get("stream")
    return ExternalRequest(
        query=query,
        body=body,
        model=fields.get("model") if fields.get("model") is not None else query_model(query),
        stream=stream is True or (form is not None and str(stream).lower() in {"true", "1"}),
        keep_alive=_seconds(fields.get("keep_alive")),
        form=form,
    )


def _json_fields(body: bytes) -> dict[str, Any]:
    document = parse_json(body)
    return {name: document[name] for name in _READ & document.keys()} if isinstance(document, dict) else {}


def _seconds(value: Any) -> float | None:
    try:
        seconds = _DURATION.validate_python(value)
    except ValidationError:
        seconds = math.nan
    if seconds is not None and not math.isfinite(seconds):
        message = "`keep_alive` must be a number of seconds or a duration such as 30s, 5m or 1h30m; -1 means forever."
        raise InvalidField(message, param="keep_alive")
    return seconds


def _with_model(query: bytes, name: str) -> bytes:
    """The query with another `model`; everything else keeps its bytes."""
    parts = (part if _key(part) != "model" else b"model=" + quote(name, safe="").encode() for part in query.split(b"&"))
    return b"&".join(parts)


def _key(part: bytes) -> str:
    pairs = parse_qsl(part.decode("latin-1"), keep_blank_values=True)
    return pairs[0][0] if pairs else ""


def _ignore(_chunk: bytes) -> None:
    """Watch a body that says nothing of its model."""
