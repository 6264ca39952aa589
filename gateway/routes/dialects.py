"""One public route for each path of a dialect, which reads its requests; several dialects may share a path."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect, read_body
from contract.asgi.errors import ErrorForm
from contract.asgi.middleware import header
from contract.config import GatewaySettings
from contract.errors import ServeError
from contract.json_parser import parse_json
from contract.tasks import decode_body
from gateway.dialects import all_dialects
from gateway.dialects.body_types import content_type_at
from gateway.dialects.dialect import (
    DialectRequest,
    DialectRoute,
)
from gateway.dialects.error_forms import form_of_route
from gateway.forwarding.offload import offload
from gateway.forwarding.task_forwarder import check_images, check_whole
from gateway.routes.dialect_exchange import DialectExchange, in_clients_names, queries_of
from gateway.services import Services

log = logging.getLogger(__name__)


class FormedRoute(NamedTuple):
    """A route of a path, and the form of its errors if it is not that of the path."""

    route: DialectRoute
    errors: ErrorForm | None


class DialectEndpoint:
    """The ASGI app behind one path, which several dialects may share."""

    def __init__(self, routes: Sequence[DialectRoute], services: Services, settings: GatewaySettings) -> None:
        self._routes = [FormedRoute(route, form_of_route(route)) for route in routes]
        self._services = services
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = self._routes[0].route.path
        try:
            body = await read_body(scope, receive, self._services.body_limit)
            async with cancel_on_disconnect(receive):
                content_type = content_type_at(scope["endpoint_label"], header(scope, b"content-type") or "")
                route, request = await offload(len(body), self._decode, content_type, body, scope)
                size = len(body)
                del body  # `request` holds all of it that is needed
                await DialectExchange(route, request, scope, self._services, size).answer(send)
        except ClientDisconnected:
            log.debug("the client of request %s disconnected", scope["request_id"])

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model for a request that is to run as a job; of several, the first one's.

        Raises ServeError if it could not run.
        """
        route, request = await offload(len(body), self._decode, content_type, body)
        models = []
        for query in await self._services.auto_add.choose(partial(queries_of, route, request)):
            check_whole(query.request)
            try:
                models.append(await self._services.tasks.model_for(query.task, query.request))
            except ServeError as error:
                raise in_clients_names(error, {**route.fields, **query.fields}) from None
        return next(iter(models), "")

    def _decode(self, content_type: str, body: bytes, scope: Scope | None = None) -> tuple[DialectRoute, BaseModel]:
        route, errors = self._route_of(content_type, body)
        if scope is not None and errors:
            scope["error_form"] = errors  # of several dialects at a path, the body has decided which
        request = decode_body(route.request, route.path, content_type, body)
        request = self._with_defaults(route, request)
        check_images(request)
        if isinstance(request, DialectRequest):
            request.refuse()
        return route, request

    def _with_defaults(self, route: DialectRoute, request: BaseModel) -> BaseModel:
        """The request with the configured values of the fields that it left out."""
        missing = {field: name for field, name in route.defaults.items() if field not in request.model_fields_set}
        if not missing:
            return request
        return request.model_copy(update={field: getattr(self._settings, name) for field, name in missing.items()})

    def _route_of(self, content_type: str, body: bytes) -> FormedRoute:
        """The route whose selector is a field of the body, which only one of JSON may have; else the first."""
        first = self._routes[0]
        if len(self._routes) == 1 or not content_type.lower().startswith("application/json"):
            return first
        document = parse_json(body)
        fields = document.keys() if isinstance(document, dict) else ()
        return next((formed for formed in self._routes if formed.route.selector in fields), first)


def endpoints(services: Services, settings: GatewaySettings) -> dict[str, DialectEndpoint]:
    """An endpoint for every path of every dialect."""
    by_path: dict[str, list[DialectRoute]] = {}
    for dialect in all_dialects().values():
        for route in dialect.routes:
            by_path.setdefault(route.path, []).append(route)
    return {path: DialectEndpoint(routes, services, settings) for path, routes in by_path.items()}
