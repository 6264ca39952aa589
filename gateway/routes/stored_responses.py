"""Routes of stored responses: retrieve, cancel and delete them, and list the items of their input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.errors import BadRequest, InvalidField
from gateway.access.keys import visible_to
from gateway.responses.background import BackgroundResponses
from gateway.responses.endpoint import PATH
from gateway.responses.replayed_stream import stream_of
from gateway.responses.store import ResponseStore, StoredResponse
from gateway.routes.models import path_parameter
from gateway.routes.passthrough import UnlessForwarded

_MAX_PAGE = 100
_PAGE = 20


@dataclass(frozen=True, slots=True)
class StoredResponseRoutes:
    """The handlers, over the stored responses and those in the background."""

    store: ResponseStore
    background: BackgroundResponses

    async def get(self, request: Request) -> Response:
        """A response that was stored, or runs in the background; with `stream`, its events after an earlier one."""
        stored = await self._find(request)
        if request.query_params.get("stream") != "true":
            return JSONResponse((await self.background.current(stored)).response)
        request.scope["endless"] = True
        return stream_of(stored, self.store, self.background, _starting_after(request))

    async def cancel(self, request: Request) -> Response:
        """Cancel a response that runs in the background."""
        stored = await self._find(request)
        if not stored.response["background"]:
            raise BadRequest("Only a response with `background` can be cancelled; end the connection of others.")
        await self.background.cancel(stored)
        return JSONResponse((await self.background.current(stored)).response)

    async def delete(self, request: Request) -> Response:
        """Delete a stored response; one that runs in the background is cancelled."""
        stored = await self.store.remove(_visible(request), request.path_params["response_id"])
        await self.background.cancel(stored)
        return JSONResponse({"id": stored.id, "object": "response", "deleted": True})

    async def items(self, request: Request) -> Response:
        """The items of a response's input, newest first; `limit`, `order` and `after` page."""
        query, stored = request.query_params, await self._find(request)
        limit, order = query.get("limit", str(_PAGE)), query.get("order", "desc")
        if not (limit.isdecimal() and 1 <= int(limit[:9]) <= _MAX_PAGE):
            raise InvalidField(f"`limit` must be a whole number from 1 to {_MAX_PAGE}.", param="limit")
        items = stored.items if order == "asc" else stored.items[::-1]
        ids = [item["id"] for item in items]
        if after := query.get("after"):
            if after not in ids:
                raise InvalidField(f"`after`: there is no item {after[:100]!r} in this list.", param="after")
            items = items[ids.index(after) + 1 :]
        page = items[: int(limit)]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        return JSONResponse({"object": "list", "data": page, "has_more": len(items) > len(page), **ends})

    async def _find(self, request: Request) -> StoredResponse:
        return await self.store.get(_visible(request), request.path_params["response_id"])


def _visible(request: Request) -> str | None:
    """Whose responses the client may see; None: those of all."""
    return visible_to(request.scope.get("principal"))


def _starting_after(request: Request) -> int:
    """The sequence number after which the client wants events; -1: all of them."""
    number = request.query_params.get("starting_after")
    if number is None:
        return -1
    if not number.isdecimal():
        raise InvalidField("`starting_after` must be the `sequence_number` of an event.", param="starting_after")
    return int(number[:9])


def router(store: ResponseStore, background: BackgroundResponses) -> APIRouter:
    """All routes of stored responses."""
    handlers, path = StoredResponseRoutes(store, background), f"{PATH}/{{response_id}}"
    routes = APIRouter(tags=["OpenAI Responses API"], route_class=UnlessForwarded)
    add = partial(routes.add_api_route, response_model=None, openapi_extra=path_parameter("response_id", "resp_1"))
    add(path, handlers.get, methods=["GET"], summary="A stored response")
    add(path, handlers.delete, methods=["DELETE"], summary="Delete a stored response")
    add(f"{path}/cancel", handlers.cancel, methods=["POST"], summary="Cancel a response in the background")
    add(f"{path}/input_items", handlers.items, methods=["GET"], summary="The items of a response's input")
    return routes
