"""GET /v1/system/status: the manager's status with the gateway's own part, once or as a stream of changes."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from contract.asgi.event_streams import EVENTS, event_stream
from contract.asgi.middleware import header
from contract.errors import Unavailable
from gateway.configuration import FollowedConfiguration
from gateway.forwarding.manager_client import ManagerClient
from gateway.jobs.engine import JobEngine
from gateway.routes.status_stream import StatusStream


def router(manager: ManagerClient, jobs: JobEngine, configuration: FollowedConfiguration) -> APIRouter:
    """The route of the status."""
    routes = APIRouter(tags=["system"])

    async def own_part() -> dict[str, Any]:
        """How many jobs wait and run, and why the gateway could not apply the configuration."""
        try:
            counts: dict[str, int | str] = {**await jobs.counts()}
        except Unavailable as error:
            counts = {"error": error.message}
        return {"jobs": counts, "gateway": {"configuration_error": configuration.error}}

    async def look() -> dict[str, Any]:
        reply = await manager.call("GET", "/status")
        return {**reply.json(), **await own_part()}

    stream = StatusStream(look)

    async def status(request: Request) -> Response:
        """The current state of models, workers, devices and their memory, and how many jobs wait and run.

        With `Accept: text/event-stream`, the status as an event `status`, then about once a second what has changed, as
        an event `change`: fields of the status with their new values, where `models` has only those that differ. An
        event `error` says why there is no status at the moment.
        """
        if EVENTS in (header(request.scope, b"accept") or ""):
            request.scope["endless"] = True
            return event_stream(stream.events())
        reply = await manager.call("GET", "/status")
        if reply.status != 200:
            return Response(reply.body, reply.status, media_type=reply.content_type)
        # Put in without parsing what the manager has sent.
        own = json.dumps(await own_part()).encode().removeprefix(b"{")
        return Response(reply.body.rstrip().removesuffix(b"}") + b", " + own, media_type=reply.content_type)

    routes.get("/v1/system/status", summary="Models, workers and memory", response_model=None)(status)
    return routes
