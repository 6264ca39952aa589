"""Finds the path that clients mean who spell one of ours otherwise, and forwards those under /v1 that are not ours.

External servers may know them.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote

from fastapi.routing import APIRoute
from starlette.routing import Match, Router
from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected
from contract.errors import NotFound
from contract.status import ModelStatus
from gateway.dialects.plain_paths import single_slashes
from gateway.forwarding.external_forwarder import ServerPath, check_forwardable, raw_path
from gateway.forwarding.external_request import ExternalRequest, read_request
from gateway.services import Services

_WITHOUT_V1 = re.compile("/+(completions|responses|messages|audio|realtime|rerank|models)(/|$)")
"""Paths of OpenAI's API and its relatives, as clients send them whose base URL lacks `/v1`."""


class Passthrough:
    """The app for every path without a route of `ours`: forwards a request whose `model` is an external server.

    The model is in the body (JSON or a form) or in the query. Raises NotFound for all other requests, and BadRequest
    for a malformed body.
    """

    def __init__(self, services: Services, ours: Router) -> None:
        self._services = services
        self._ours = ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (own := self._own_path(scope)) and own != scope["path"]:
            scope["path"], scope["raw_path"] = own, quote(own).encode()
            await self._ours(scope, receive, send)
            return
        path = _meant(raw_path(scope))
        if not path.startswith("/v1/"):
            raise _not_found(scope)
        check_forwardable(scope)
        scope["endpoint_label"] = "/v1/{path}"
        self._services.check_origin(scope)  # also for GET, which may start a server here
        await self._services.pacing.begin()
        try:
            async with read_request(scope, receive, self._services.body_limit) as request:
                model = await self._model(scope, request, path)
                if model.passthrough:
                    await request.rename_model(model.passthrough)
                await self._services.external.forward(ServerPath(model, path), request, scope, receive, send)
        except ClientDisconnected:
            return

    def _own_path(self, scope: Scope) -> str:
        """The path of ours that is meant; empty if there is none."""
        meant = _meant(scope["path"]).rstrip("/")
        sent = {**scope, "path": meant}
        is_ours = meant and any(route.matches(sent)[0] is not Match.NONE for route in self._ours.routes)
        return meant if is_ours else ""

    async def _model(self, scope: Scope, request: ExternalRequest, path: str) -> ModelStatus:
        """The external server that the request names. Raises NotFound."""
        if not isinstance(request.model, str) or not request.model:
            raise _not_found(scope)
        table = await self._services.directory.table()
        model = table.get(request.model)
        if not table.is_external(model):
            raise table.no_such_path(model, scope["method"], path)
        return model


class UnlessForwarded(APIRoute):
    """A route for what external servers may serve as well: it leaves them the requests whose `?model=` names one.

    It leaves them other methods of its path too, which may name the model in their body.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        is_ours = match is Match.FULL and b"model" not in dict(parse_qsl(scope.get("query_string", b"")))
        return (match, child) if is_ours else (Match.NONE, {})


def _meant(path: str) -> str:
    """The path that clients mean whose base URL ends with a slash, or lacks `/v1`."""
    if _WITHOUT_V1.match(path):
        path = f"/v1{path}"
    return single_slashes(path)


def _not_found(scope: Scope) -> NotFound:
    message = f"There is no endpoint {scope['method']} {scope['path'][:200]}. GET /docs lists all paths."
    hint = "For a path of an external server, name it in `model`, or send the request to /upstream/ID and that path."
    return NotFound(f"{message} {hint}")
