"""Paths under /v1 that are no task of ours, for foreign servers that know them."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json
from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect, read_body
from contract.asgi.middleware import header
from contract.errors import BadRequest, NotFound
from gateway.forwarding.forward import ForwardedRequest, forward, onward_headers
from gateway.forwarding.replace_model import replace_model
from gateway.routes.tasks import Services, beside, max_wait


class Passthrough:
    """The app for every path that has no route: forwards to a foreign server that the body's `model` names.

    Raises NotFound for all else, BadRequest for JSON that is none.
    """

    def __init__(self, way: Services) -> None:
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        json_body = (header(scope, b"content-type") or "").partition(";")[0].strip().lower() == "application/json"
        if scope["method"] != "POST" or not scope["path"].startswith("/v1/") or not json_body:
            raise _nothing_at(scope)
        scope["endpoint_label"] = "/v1/{path}"
        try:
            body = await read_body(scope, receive, self._way.limit)
            async with cancel_on_disconnect(receive):
                call = await self._prepare(scope, body)
                del body  # `call` holds what goes on
                await forward(self._way.manager, call, send)
        except ClientDisconnected:
            return

    async def _prepare(self, scope: Scope, body: bytes) -> ForwardedRequest:
        name = await beside(len(body), _model, body)
        catalog = await self._way.directory.catalog()
        model = catalog.find(name) if isinstance(name, str) else None
        if model is None or not catalog.takes_everything(model):
            raise _nothing_at(scope)
        scope["model"] = model.id
        if model.passthrough:
            body = await beside(len(body), replace_model, body, model.passthrough)
        manager = self._way.manager
        path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
        return ForwardedRequest(
            url=manager.url(path, scope["query_string"]),
            model=model.id,
            body=body,
            max_wait=max_wait(scope, model),
            request_id=scope["request_id"],
            headers=onward_headers(scope),
        )


def _model(body: bytes) -> Any:
    try:
        document = from_json(body)
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}. Send UTF-8 JSON.") from None
    return document.get("model") if isinstance(document, dict) else None


def _nothing_at(scope: Scope) -> NotFound:
    return NotFound(f"There is nothing at {scope['path'][:200]} for {scope['method']}; GET /docs lists the paths.")
