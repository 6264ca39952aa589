"""The house itself: health, metrics, state, events, evicting and reloading."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from contract import __version__
from contract.asgi import metrics
from contract.asgi.body import ClientDisconnected, cancel_on_disconnect
from contract.asgi.health import alive
from contract.asgi.relay import UpstreamError
from contract.errors import ManagerUnreachable, ServeError, Unavailable
from gateway.forwarding.forward import pass_on
from gateway.forwarding.manager_client import ManagerClient, ManagerReply
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes.models import in_path

_STOPPING = 300
"""Seconds that an eviction or a reload may take: workers finish what they do and give their memory back."""


def router(manager: ManagerClient, directory: ModelDirectory) -> APIRouter:
    """Every route about the house."""
    routes = APIRouter(tags=["system"])
    _add_greetings(routes)
    _add_health(routes, manager, directory)
    _add_control(routes, manager, directory)
    return routes


def _add_greetings(routes: APIRouter) -> None:
    about = {
        "name": "Enginehouse",
        "version": __version__,
        "docs": "/docs",
        "openapi": "/openapi.json",
        "models": "/v1/models",
        "status": "/v1/system/status",
        "health": "/healthz",
    }

    async def root(_: Request) -> Response:
        """What this is and where to go on."""
        return JSONResponse(about | {"latest": "/v1"})

    async def v1(_: Request) -> Response:
        """What this version of the API is called and where it begins."""
        return JSONResponse(about | {"api_version": "v1"})

    routes.get("/", response_model=None)(root)
    routes.get("/v1", response_model=None)(v1)


def _add_health(routes: APIRouter, manager: ManagerClient, directory: ModelDirectory) -> None:
    for path in ("/healthz", "/health", "/v1/health"):
        routes.get(path, summary="The process lives", response_model=None, name=path)(alive)

    async def ready(_: Request) -> Response:
        """Whether requests would be served: the manager is there and its scheduler turns."""
        reply = await manager.call("GET", "/ready", timeout=2)
        if reply.status >= 400:
            raise Unavailable("The manager's scheduler does not turn. Look into its log, or restart it.", retry_after=1)
        if not directory.connected:
            await directory.refresh()
        return JSONResponse({"status": "ready"})

    async def page(request: Request) -> Response:
        """Prometheus metrics of the gateway, then the manager's."""
        own = await metrics.page(request)
        try:
            theirs = await manager.call("GET", "/metrics", timeout=2)
        except ManagerUnreachable:
            return own
        if theirs.status == 200:
            own.body = bytes(own.body) + _beside(bytes(own.body), theirs.body)
            own.headers["content-length"] = str(len(own.body))
        return own

    routes.get("/ready", response_model=None)(ready)
    routes.get("/metrics", response_model=None)(page)


def _beside(ours: bytes, theirs: bytes) -> bytes:
    """The families that `ours` has not: both count the same requests, and a name may stand there only once."""
    own = {line.split()[2] for line in ours.splitlines() if line.startswith(b"# TYPE")}
    kept: list[bytes] = []
    keep = True
    for line in theirs.splitlines():
        if line.startswith((b"# HELP", b"# TYPE")):
            keep = line.split()[2] not in own
        if keep and line != b"# EOF":
            kept.append(line)
    return b"\n".join(kept) + b"\n" if kept else b""


def _add_control(routes: APIRouter, manager: ManagerClient, directory: ModelDirectory) -> None:
    async def status(_: Request) -> Response:
        """Models, workers, devices and their memory, as the manager sees them now."""
        return _passed(await manager.call("GET", "/status"))

    async def evict(request: Request) -> Response:
        """End a model's workers once they have answered what they do, and give their memory back."""
        model = (await directory.catalog()).get(request.path_params["alias"])
        return _passed(await manager.call("POST", f"/evict/{quote(model.id, safe='')}", timeout=_STOPPING))

    async def reload(_: Request) -> Response:
        """Read the configuration again; workers whose entry did not change go on."""
        reply = await manager.call("POST", "/reload", timeout=_STOPPING)
        if reply.status < 400:
            await directory.refresh()  # so that whoever reloaded finds the new models at once
        return _passed(reply)

    async def events(request: Request) -> Response:
        """Changes of state, progress of loading, evictions and their reasons, as server-sent events."""
        last = request.headers.get("last-event-id", "")  # what a browser sends when it connects again
        return _EventStream(manager, f"since={last}" if last.isdigit() else request.url.query)

    routes.get("/v1/system/status", response_model=None)(status)
    routes.post("/v1/system/evict/{alias:path}", response_model=None, openapi_extra=in_path("alias"))(evict)
    routes.post("/v1/system/reload", response_model=None)(reload)
    routes.get("/v1/system/events", response_model=None)(events)


def _passed(reply: ManagerReply) -> Response:
    return Response(reply.body, reply.status, media_type=reply.content_type)


class _EventStream(Response):
    """The manager's event stream, passed through for as long as both sides stay."""

    def __init__(self, manager: ManagerClient, query: str) -> None:
        super().__init__()
        self._manager = manager
        self._query = query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = self._manager.url("/events", self._query.encode())
        try:
            async with (
                cancel_on_disconnect(receive),
                self._manager.open("GET", url, [("accept", "text/event-stream")]) as response,
            ):
                await pass_on(response, send, scope["request_id"], self._gone())
        except UpstreamError as error:
            raise self._manager.unreachable(error) from error
        except ClientDisconnected:
            return

    def _gone(self) -> ServeError:
        return self._manager.unreachable("it went away")
