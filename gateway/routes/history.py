"""GET /v1/system/history: the last hour of memory, requests, tokens and starts, for charts."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.forwarding.manager_client import ManagerClient
from gateway.routes.models import query_parameter

_SINCE = {
    "parameters": [
        query_parameter(
            "since", "number", "only points after this time, in seconds since 1970", 1795719598.466, minimum=0
        ),
    ]
}


def router(manager: ManagerClient) -> APIRouter:
    """The route, which every key may use: it shows no more than the status and the metrics do."""
    routes = APIRouter(tags=["system"])

    async def history(request: Request) -> Response:
        """Memory by device and worker, requests, tokens, images and starts of the last hour, as series of numbers.

        A point is added every `interval` seconds. `?since=TIME` leaves out what you have already.
        """
        query = request.url.query
        reply = await manager.call("GET", f"/history?{query}" if query else "/history")
        return Response(reply.body, reply.status, media_type=reply.content_type)

    routes.get("/v1/system/history", summary="The last hour", response_model=None, openapi_extra=_SINCE)(history)
    return routes
