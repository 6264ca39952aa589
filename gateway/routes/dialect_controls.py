"""The routes of dialects about the models' state: loads and unloads models, and answers from the manager's status."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contract.asgi.body import read_body
from contract.asgi.middleware import header
from contract.errors import ServeError
from contract.status import Status
from contract.tasks import decode_body
from gateway.access.keys import require_admin
from gateway.dialects import all_dialects
from gateway.dialects.body_types import content_type_at
from gateway.dialects.dialect import ControlRoute, DialectRequest, DialectResponse
from gateway.forwarding.model_table import ModelTable
from gateway.routes.dialect_downloads import DownloadEndpoint
from gateway.routes.dialect_exchange import in_clients_names
from gateway.routes.model_actions import perform
from gateway.services import Services

_MAX_BODY = 64 * 1024


class ControlEndpoint:
    """Answers the requests of one route."""

    def __init__(self, route: ControlRoute, services: Services) -> None:
        self._route = route
        self._services = services

    async def __call__(self, request: Request) -> Response:
        request.scope["endpoint_label"] = self._route.path
        if self._route.admin:
            require_admin(request.scope.get("principal"))
        body = await self._body(request)
        try:
            actions = self._route.to_actions(body, await self._models())
        except ServeError as error:
            raise in_clients_names(error, self._route.fields) from None
        request.scope["model"] = ",".join(action.model for action in actions) or None
        await asyncio.gather(*(perform(self._services.manager, action) for action in actions))
        if any(action.kind == "remove" for action in actions):
            await self._services.directory.refresh()
        only = f"?model={quote(actions[0].model, safe='')}" if len(actions) == 1 else ""
        reply = await self._services.manager.call("GET", f"/status{only}")
        answer = self._route.from_status(body, Status.model_validate(reply.json()))
        _add_warnings(answer, body)
        status = 200 if all(action.wait for action in actions) else 202
        return Response(answer.model_dump_json(by_alias=True), status, media_type="application/json")

    async def _models(self) -> ModelTable:
        """The models to choose from. Their states cost a question to the manager, so only if they matter."""
        directory = self._services.directory
        return await (directory.current() if self._route.by_state else directory.table())

    async def _body(self, request: Request) -> BaseModel | None:
        if self._route.request is None:
            return None
        content = await read_body(request.scope, request.receive, _MAX_BODY)
        content_type = content_type_at(self._route.path, header(request.scope, b"content-type") or "")
        return decode_body(self._route.request, self._route.path, content_type, content)


def _add_warnings(answer: BaseModel, body: BaseModel | None) -> None:
    if isinstance(answer, DialectResponse) and isinstance(body, DialectRequest):
        answer.warnings = [*body.warnings(), *(answer.warnings or ())] or None


def routes(services: Services) -> list[Route]:
    """A route for every control of every dialect."""
    return [
        Route(
            route.path,
            (DownloadEndpoint if route.progress else ControlEndpoint)(route, services).__call__,
            methods=[route.method],
        )
        for dialect in all_dialects().values()
        for route in dialect.controls
    ]
