"""POST /api/models/download, and the downloads that are under way: their progress as JSON and as events."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import AliasChoices, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract.asgi.body import read_body
from contract.asgi.event_streams import EVENTS
from contract.asgi.middleware import header
from contract.lazy_model import LazyModel
from contract.limits import Name
from contract.validation import invalid_request
from gateway.access.keys import require_admin
from gateway.forwarding.manager_client import ManagerClient
from gateway.routes.manager_events import ManagerEvents
from gateway.routes.models import path_parameter

_MAX_BODY = 4096


class DownloadOrder(LazyModel):
    """What to download: a configured model, one of the catalogue, or a hub repository. `stream`: send progress."""

    model_config = ConfigDict(extra="forbid")

    model: Name = Field(validation_alias=AliasChoices("model", "model_id", "repo_id", "hf_model"))
    revision: Name | None = None
    stream: bool = False


def router(manager: ManagerClient) -> APIRouter:
    """The routes about downloads. Those that change something need the scope `admin`."""
    routes = APIRouter(tags=["models"])
    _add_start(routes, manager)
    _add_running(routes, manager)
    return routes


def _add_start(routes: APIRouter, manager: ManagerClient) -> None:
    async def download(request: Request) -> Response:
        """Download a model's files from the hub. Needs the scope `admin`.

        Answers 202 with the download, whose progress is at `GET /api/models/downloads/{id}`; with `"stream": true`, or
        `Accept: text/event-stream`, its progress as server-sent events until its end. A download that runs is shared.
        """
        require_admin(request.scope.get("principal"))
        order = await _order(request)
        content = {"model": order.model, "revision": order.revision}
        reply = await manager.call("POST", "/downloads", content=content)
        started: dict[str, Any] = reply.json()
        if order.stream or EVENTS in (header(request.scope, b"accept") or ""):
            return ManagerEvents(manager, f"/downloads/{started['id']}/events")
        return JSONResponse(started, 202, {"location": f"/api/models/downloads/{started['id']}"})

    routes.post("/api/models/download", summary="Download a model", response_model=None)(download)


def _add_running(routes: APIRouter, manager: ManagerClient) -> None:
    async def list_downloads(_: Request) -> Response:
        """The downloads that run, and those that have ended lately."""
        overview = (await manager.call("GET", "/downloads")).json()
        return JSONResponse({"downloads": overview["downloads"]})

    async def show(request: Request) -> Response:
        """How far a download is; with `Accept: text/event-stream`, as events until its end."""
        path = f"/downloads/{quote(request.path_params['id'], safe='')}"
        reply = await manager.call("GET", path)
        if EVENTS in (header(request.scope, b"accept") or "") and reply.status == 200:
            return ManagerEvents(manager, f"{path}/events")
        return JSONResponse(reply.json())

    async def cancel(request: Request) -> Response:
        """End a download; files that are complete stay. Needs the scope `admin`."""
        require_admin(request.scope.get("principal"))
        path = f"/downloads/{quote(request.path_params['id'], safe='')}"
        return JSONResponse((await manager.call("DELETE", path, timeout=30)).json())

    by_id = path_parameter("id", "3f9a1c20b7de")
    path = "/api/models/downloads/{id}"
    routes.get("/api/models/downloads", summary="Downloads", response_model=None)(list_downloads)
    routes.get(path, summary="How far a download is", response_model=None, openapi_extra=by_id)(show)
    routes.delete(path, summary="End a download", response_model=None, openapi_extra=by_id)(cancel)


async def _order(request: Request) -> DownloadOrder:
    body = await read_body(request.scope, request.receive, _MAX_BODY)
    try:
        return DownloadOrder.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error) from None
