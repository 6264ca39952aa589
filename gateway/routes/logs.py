"""The logs of programs and models: which there are, pages of them, and what is written, as it is written."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.keys import require_admin
from gateway.forwarding.manager_client import ManagerClient
from gateway.routes.manager_events import ManagerEvents
from gateway.routes.models import path_parameter, query_parameter

_PARAMETERS = {
    parameter["name"]: parameter
    for parameter in (
        query_parameter(
            "before", "integer", "only lines before this byte: `before` of the page that you have", 65536, minimum=0
        ),
        query_parameter(
            "after", "integer", "follow from this byte of the file on, instead of from its end", 65536, minimum=0
        ),
        query_parameter(
            "older",
            "integer",
            "the number of a rotated file; 0 is the current one",
            1,
            default=0,
            minimum=0,
            maximum=999,
        ),
        query_parameter("follow", "boolean", "go on with the lines that are written", True, default=False),
        query_parameter("search", "string", "only lines that contain this text, in any case", "error"),
    )
}


def _described(*names: str, lines: int, most: int) -> dict[str, Any]:
    logged = path_parameter("name", "ocr")
    count = query_parameter("lines", "integer", "how many lines at most", 200, default=lines, minimum=0, maximum=most)
    return {**logged, "parameters": [*logged["parameters"], count, *(_PARAMETERS[name] for name in names)]}


def router(manager: ManagerClient) -> APIRouter:
    """The routes, which need the scope `admin`: logs may have what clients sent."""
    routes = APIRouter(tags=["system"])
    _add_pages(routes, manager)
    _add_stream(routes, manager)
    return routes


def _add_pages(routes: APIRouter, manager: ManagerClient) -> None:
    async def overview(request: Request) -> Response:
        """The logs that there are, with their sizes: `manager`, `gateway`, and models. Needs the scope `admin`."""
        require_admin(request.scope.get("principal"))
        return await _relayed(manager, "/logs")

    async def page(request: Request) -> Response:
        """Lines of a log before a position, the oldest first. Needs the scope `admin`.

        A page looks at 4 MiB at most: a search that finds less than it may says with `before` where to go on.
        """
        require_admin(request.scope.get("principal"))
        return await _relayed(manager, f"/log-pages/{quote(request.path_params['name'], safe='')}?{request.url.query}")

    described = _described("before", "older", "search", lines=200, most=1000)
    routes.get("/v1/system/logs", summary="The logs that there are", response_model=None)(overview)
    paged = "/v1/system/log-pages/{name:path}"
    routes.get(paged, summary="A page of a log", response_model=None, openapi_extra=described)(page)


def _add_stream(routes: APIRouter, manager: ManagerClient) -> None:
    async def stream(request: Request) -> Response:
        """The last lines of a model's log, or of `manager`'s or `gateway`'s, as events. Needs the scope `admin`.

        `?lines=50` is how many lines come first; with `?follow=true`, those that are written follow. Each of these has
        the position after it as its id, from which a client that reconnects goes on.
        """
        require_admin(request.scope.get("principal"))
        query, last_seen = request.url.query, request.headers.get("last-event-id", "")
        if last_seen.isascii() and last_seen.isdecimal():
            query = "&".join(part for part in query.split("&") if not part.startswith("after="))
            query = f"{query}&after={last_seen}".removeprefix("&")
        return ManagerEvents(manager, f"/logs/{quote(request.path_params['name'], safe='')}", query)

    described, path = _described("follow", "after", "search", lines=50, most=99999), "/v1/system/logs/{name:path}"
    routes.get(path, summary="A log, as a stream", response_model=None, openapi_extra=described)(stream)


async def _relayed(manager: ManagerClient, path: str) -> Response:
    reply = await manager.call("GET", path)
    return Response(reply.body, reply.status, media_type=reply.content_type)
