"""Forwards paths under /v1 that are not tasks of ours to external servers, which may know them."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from pydantic_core import from_json
from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect, read_body
from contract.asgi.middleware import header
from contract.errors import BadRequest, NotFound
from contract.json_bounds import check_json
from gateway.forwarding.client_headers import forwarded_headers, requested_wait
from gateway.forwarding.forward import ForwardedRequest, forward
from gateway.forwarding.offload import offload
from gateway.forwarding.replace_model import replace_model
from gateway.services import Services


class Passthrough:
    """The app for every path without a route: forwards a request whose `model` is an external server.

    Raises NotFound for all other requests, and BadRequest for invalid JSON.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        media_type = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
        is_v1_post = scope["method"] == "POST" and scope["path"].startswith("/v1/")
        if not is_v1_post or _leaves_its_folder(scope["path"]) or media_type != "application/json":
            raise _not_found(scope)
        scope["endpoint_label"] = "/v1/{path}"
        try:
            body = await read_body(scope, receive, self._services.body_limit)
            async with cancel_on_disconnect(receive):
                request = await self._prepare(scope, body)
                del body  # `request` holds the body to forward
                await forward(self._services.manager, request, send)
        except ClientDisconnected:
            return

    async def _prepare(self, scope: Scope, body: bytes) -> ForwardedRequest:
        name = await offload(len(body), _model_name, body)
        table = await self._services.directory.table()
        model = table.find(name) if isinstance(name, str) else None
        if model is None or not table.is_external(model):
            raise _not_found(scope)
        scope["model"] = model.id
        if model.passthrough:
            body = await offload(len(body), replace_model, body, model.passthrough)
        path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        return ForwardedRequest(
            url=self._services.manager.url(path, scope["query_string"]),
            model=model.id,
            body=body,
            max_wait=min(requested_wait(scope), model.max_wait),
            request_id=scope["request_id"],
            headers=forwarded_headers(scope),
            ends_with_done=scope["path"].endswith("/completions"),
        )


def _leaves_its_folder(path: str) -> bool:
    """Whether the path has a segment `.` or `..`, encoded however often: behind it could be any path of the server."""
    while (decoded := unquote(path)) != path:
        path = decoded
    return not {".", ".."}.isdisjoint(segment.partition(";")[0] for segment in path.replace("\\", "/").split("/"))


def _model_name(body: bytes) -> Any:
    """The body's `model`, of whatever type, or None."""
    check_json(body)
    try:
        document = from_json(body)
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}. Send UTF-8 JSON.") from None
    return document.get("model") if isinstance(document, dict) else None


def _not_found(scope: Scope) -> NotFound:
    return NotFound(f"There is no endpoint {scope['method']} {scope['path'][:200]}. GET /docs lists all paths.")
