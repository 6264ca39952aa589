"""Routes about the system itself: health, metrics, events, logs, eviction and reload."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from contract import __version__
from contract.asgi import metrics
from contract.asgi.body import read_body
from contract.asgi.health import alive
from contract.asgi.middleware import QUIET
from contract.config import ConfigError
from contract.errors import BadRequest, ManagerUnreachable, Unavailable
from contract.lazy_model import LazyModel
from contract.validation import invalid_request
from gateway.access.keys import require_admin
from gateway.configuration import FollowedConfiguration
from gateway.dialects.health import health
from gateway.forwarding.manager_client import ManagerClient, ManagerReply
from gateway.forwarding.model_directory import ModelDirectory
from gateway.forwarding.status_snapshot import StatusSnapshot
from gateway.jobs import metrics as job_metrics
from gateway.jobs.engine import JobEngine
from gateway.routes.manager_events import ManagerEvents
from gateway.routes.models import path_parameter
from gateway.ui.routes import PageServer, wants_page

_MAX_CONTROL_BODY = 4096


def router(
    manager: ManagerClient,
    directory: ModelDirectory,
    jobs: JobEngine,
    configuration: FollowedConfiguration,
    page: PageServer,
) -> APIRouter:
    """All routes about the system."""
    routes = APIRouter(tags=["system"])
    _add_overview(routes, page)
    _add_health(routes, manager, directory)
    _add_metrics(routes, manager, jobs)
    _add_control(routes, manager, directory, configuration)
    return routes


def _add_overview(routes: APIRouter, page: PageServer) -> None:
    about = {
        "name": "Enginehouse",
        "version": __version__,
        "page": "/ui",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "models": "/v1/models",
        "status": "/v1/system/status",
        "health": "/healthz",
    }

    async def root(request: Request) -> Response:
        """The service's name, version and main paths; for browsers, the page at /ui."""
        if wants_page(request):
            return await page.index(request)
        return JSONResponse(about | {"message": "Enginehouse", "latest": "/v1"}, headers={"vary": "accept"})

    async def v1(_: Request) -> Response:
        """The version of the API and its main paths."""
        return JSONResponse(about | {"api_version": "v1"})

    async def access(request: Request) -> Response:
        """What the client may do: the name of its key, or null if it needs none, and whether it may administer.

        `rate_limit` is that of the key, in the notation of the configuration.
        """
        principal = request.scope.get("principal")
        if principal is None:
            return JSONResponse({"key": None, "admin": True, "rate_limit": None})
        return JSONResponse({"key": principal.name, "admin": principal.admin, "rate_limit": principal.rate_limit})

    routes.get("/", summary="The service", response_model=None)(root)
    routes.get("/v1", summary="The version of the API", response_model=None)(v1)
    routes.get("/v1/system/access", summary="What the client may do", response_model=None)(access)


def _add_health(routes: APIRouter, manager: ManagerClient, directory: ModelDirectory) -> None:
    snapshot = StatusSnapshot(manager)

    async def health_page(_: Request) -> Response:
        """The process is alive; with the fields of other servers' health pages, as far as the manager answers."""
        page = health(await snapshot.get(), metrics.requests_answered(without=QUIET))
        return Response(page.model_dump_json(), media_type="application/json")

    routes.get("/healthz", summary="The process is alive", response_model=None)(alive)
    for path in ("/health", "/v1/health"):
        routes.get(path, summary="The process is alive, with details", response_model=None, name=path)(health_page)

    async def ready(_: Request) -> Response:
        """Whether requests can be served: the manager responds and its scheduler is running."""
        reply = await manager.call("GET", "/ready", timeout=2)
        if reply.status >= 400:
            message = "The manager's scheduler has stopped responding. Check its log, or restart it."
            raise Unavailable(message, retry_after=1)
        if not directory.connected:
            await directory.refresh()
        return JSONResponse({"status": "ready"})

    routes.get("/ready", summary="Requests can be served", response_model=None)(ready)


def _add_metrics(routes: APIRouter, manager: ManagerClient, jobs: JobEngine) -> None:
    async def page(request: Request) -> Response:
        """Prometheus metrics of the gateway and the manager."""
        with suppress(Unavailable):  # the log says why there is no database
            job_metrics.show(await jobs.counts())
        response = await metrics.page(request)
        try:
            reply = await manager.call("GET", "/metrics", timeout=2)
        except ManagerUnreachable:
            return response
        if reply.status == 200:
            response.body = bytes(response.body) + _without_known_families(bytes(response.body), reply.body)
            response.headers["content-length"] = str(len(response.body))
        return response

    routes.get("/metrics", summary="Prometheus metrics", response_model=None)(page)


def _without_known_families(known: bytes, page: bytes) -> bytes:
    """The metric families of `page` that `known` lacks. Both programs count requests, and names must be unique."""
    known_names = {line.split()[2] for line in known.splitlines() if line.startswith(b"# TYPE")}
    new_lines: list[bytes] = []
    is_new = True
    for line in page.splitlines():
        if line.startswith((b"# HELP", b"# TYPE")):
            is_new = line.split()[2] not in known_names
        if is_new and line != b"# EOF":
            new_lines.append(line)
    return b"\n".join(new_lines) + b"\n" if new_lines else b""


def _add_control(
    routes: APIRouter, manager: ManagerClient, directory: ModelDirectory, configuration: FollowedConfiguration
) -> None:
    async def evict(request: Request) -> Response:
        """Stop a model's workers, after their running requests, and free their memory. Needs the scope `admin`.

        With `?force=true`, or `{"force": true}` as the body, running requests end at once, with an error.
        """
        require_admin(request.scope.get("principal"))
        force = await _wants_force(request)
        model = (await directory.table()).get(request.path_params["alias"])
        path = f"/evict/{quote(model.id, safe='')}?force={str(force).lower()}"
        return _as_response(await manager.call("POST", path, timeout=None))

    async def reload(request: Request) -> Response:
        """Read the configuration again; unchanged workers keep running. Needs the scope `admin`."""
        require_admin(request.scope.get("principal"))
        reply = await manager.call("POST", "/reload", timeout=None)
        if reply.status < 400:
            await directory.refresh()  # so that the client's next request finds the new models
            try:
                await configuration.reload()
            except ConfigError as error:
                raise BadRequest(f"The models were reloaded, but not who may use the API: {error}") from None
        return _as_response(reply)

    async def events(request: Request) -> Response:
        """State changes, loading progress, and evictions with their reasons, as server-sent events."""
        last_seen = request.headers.get("last-event-id", "")  # sent by browsers when they reconnect
        return ManagerEvents(manager, "/events", f"since={last_seen}" if last_seen.isdigit() else request.url.query)

    named = path_parameter("alias", "ocr")
    routes.post(
        "/v1/system/evict/{alias:path}", summary="Stop a model's workers", response_model=None, openapi_extra=named
    )(evict)
    routes.post("/v1/system/reload", summary="Apply a changed configuration", response_model=None)(reload)
    routes.get("/v1/system/events", summary="Events, as a stream", response_model=None)(events)


class _Eviction(LazyModel):
    """What an eviction's query or body may say."""

    model_config = ConfigDict(extra="forbid")

    force: bool = False


async def _wants_force(request: Request) -> bool:
    body = await read_body(request.scope, request.receive, _MAX_CONTROL_BODY)
    try:
        in_query = _Eviction.model_validate(dict(request.query_params))
        return in_query.force or bool(body and _Eviction.model_validate_json(body).force)
    except ValidationError as error:
        raise invalid_request(error) from None


def _as_response(reply: ManagerReply) -> Response:
    return Response(reply.body, reply.status, media_type=reply.content_type)
