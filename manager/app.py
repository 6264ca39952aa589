"""The manager's routes: control routes for the gateway and the operator, and the proxy to the workers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from contract import __version__
from contract.asgi import errors, health, metrics
from contract.asgi.draining import DrainMiddleware, RequestsInProgress
from contract.asgi.event_streams import event_stream
from contract.asgi.middleware import RequestMiddleware, header
from contract.asgi.pacing import Pacing
from contract.config import ConfigError
from contract.errors import BadRequest, InvalidField, ModelNotFound, Unavailable
from contract.server_events import server_event
from contract.status import ModelStatus, Status
from manager.access import guarded
from manager.configuration_edits import ConfigurationEdits
from manager.configuration_routes import ConfigurationRoutes
from manager.log_routes import LogRoutes
from manager.model_routes import ModelRoutes
from manager.proxy import Proxy
from manager.runtime import Runtime
from manager.scheduling import snapshot, wait_report
from manager.scheduling.wait_queue import Claim
from manager.state.model import Model
from manager.worker_requests import MODEL

_SECONDS = re.compile(r"\d{1,15}(\.\d{1,9})?")


@dataclass(frozen=True, slots=True)
class ControlRoutes:
    """The control routes of one manager. `started`: its start in monotonic seconds."""

    runtime: Runtime
    proxy: Proxy
    started: float

    async def ready(self, _: Request) -> Response:
        """GET /ready: whether requests would be served."""
        if not self.runtime.pool.scheduler_alive():
            raise Unavailable("The manager's scheduler has stopped responding; see the manager's log.", retry_after=1)
        return JSONResponse({"status": "ready"})

    async def models(self, request: Request) -> Response:
        """GET /models: every configured model, for the gateway; with `?model=ID`, this one alone."""
        models = [self._status_of(model).model_dump(mode="json") for model in self._wanted(request)]
        return JSONResponse({"seq": self.runtime.event_log.seq, "models": models})

    async def status(self, request: Request) -> Response:
        """GET /status: devices, workers, models and standbys, with memory measured now.

        With `?model=ID`, `models` has this one alone: the state of a thousand takes a while to put together.
        """
        pool, monitor = self.runtime.pool, self.runtime.monitor
        workers = pool.supervisor.workers
        await monitor.sample(workers)
        now = asyncio.get_running_loop().time()
        page = Status(
            version=__version__,
            uptime=round(time.monotonic() - self.started, 1),
            seq=self.runtime.event_log.seq,
            waiting=len(pool.queue),
            leases=pool.supervisor.leases,
            devices=monitor.status(workers),
            workers=[worker.status(now) for worker in workers],
            models=[self._status_of(model) for model in self._wanted(request)],
            standbys=self.runtime.standbys(),
            leaks=pool.supervisor.leaks,
            waits=wait_report.reports(pool.queue, pool.models, workers, now),
            model_folders=self.runtime.folders.status(),
            configuration=self.runtime.configuration.status(),
            downloads=[download.status() for download in self.runtime.model_downloads.running],
        )
        return Response(page.model_dump_json(), media_type="application/json")

    async def history(self, request: Request) -> Response:
        """GET /history?since=TIME: the points of the last hour, or those after a time in seconds."""
        since = request.query_params.get("since", "0")
        if not _SECONDS.fullmatch(since):
            raise InvalidField("`since` must be a time in seconds, such as one of `times`.", param="since")
        page = self.runtime.history.history(float(since))
        return Response(page.model_dump_json(), media_type="application/json")

    async def wait(self, request: Request) -> Response:
        """GET /waits?request=ID: what a request waits for, or how far its worker is; null for what does not apply."""
        pool, now = self.runtime.pool, asyncio.get_running_loop().time()
        id_ = request.query_params.get("request", "")
        wait = wait_report.report(id_, pool.queue, pool.models, pool.supervisor.workers, now)
        wait = wait or self.runtime.files.report(id_)
        return JSONResponse({"wait": wait, "progress": None if wait else await self.proxy.progress(id_)})

    async def waits(self, request: Request) -> Response:
        """POST /waits with `{"requests": [ID, …]}`: what each of them waits for, by its id, if it waits."""
        pool, now = self.runtime.pool, asyncio.get_running_loop().time()
        ids = frozenset(map(str, (await request.json())["requests"]))
        found = wait_report.reports(pool.queue, pool.models, pool.supervisor.workers, now, only=ids)
        downloads = {id_: wait for id_ in ids if (wait := self.runtime.files.report(id_))}
        return JSONResponse({"waits": downloads | {wait["request"]: wait for wait in found}})

    async def evict(self, request: Request) -> Response:
        """POST /evict/{id}?force=true: stop a model's workers and wait until their memory is back."""
        name = request.path_params["name"]
        model = self.runtime.models.find(name)
        if model is None:
            raise ModelNotFound(f"There is no model {name!r}; GET /v1/models lists the available ones.")
        stopping = self.runtime.pool.evict(model.id, force=request.query_params.get("force") == "true")
        freed = sum(worker.measured for worker in stopping)
        while any(worker.live for worker in stopping):
            await self.runtime.event_log.next(pulse=5)
        return JSONResponse({"evicted": [worker.name for worker in stopping], "freed_bytes": freed})

    async def load(self, request: Request) -> Response:
        """POST /load/{id}: start a worker of the model if none is ready, and wait for it unless `wait=false`.

        `keep_alive` is the worker's idle timeout in seconds, as requests may set it.
        """
        name, query = request.path_params["name"], request.query_params
        model = self.runtime.models.find(name)
        if model is None:
            raise ModelNotFound(f"There is no model {name!r}; GET /v1/models lists the available ones.")
        keep_alive = float(query["keep_alive"]) if "keep_alive" in query else None
        if query.get("wait") == "false":
            self.runtime.pool.load_soon(model.id, keep_alive)
            return JSONResponse({"model": model.id}, 202)
        async with self.runtime.pool.lease(model.id, keep_alive, claim=Claim(request.scope["request_id"])):
            return JSONResponse({"model": model.id})

    async def forget(self, request: Request) -> Response:
        """POST /forget/{id}: forget the model's measured memory."""
        name = request.path_params["name"]
        model = self.runtime.models.find(name)
        if model is None:
            raise ModelNotFound(f"There is no model {name!r}; GET /v1/models lists the available ones.")
        return JSONResponse({"model": model.id, "forgotten": self.runtime.forget(model)})

    async def reload(self, _: Request) -> Response:
        """POST /reload: read the configuration again. An invalid one changes nothing."""
        try:
            return JSONResponse({"changed": await self.runtime.reload()})
        except ConfigError as error:
            raise BadRequest(f"The configuration was not applied: {error}") from None

    async def gateway_stops(self, request: Request) -> Response:
        """POST /gateways/{id}/stopping: refuse the requests of a gateway that wait for a worker."""
        return JSONResponse({"refused": self.runtime.waiting_requests.refuse(request.path_params["id"])})

    async def events(self, request: Request) -> Response:
        """GET /events?since=N: the events after number N, and new ones as they happen."""
        since = request.query_params.get("since", str(self.runtime.event_log.seq))
        if not (since.isdecimal() and len(since) < 20):
            raise InvalidField(
                "`since` must be an event's number, such as 12; leave it out for new ones.", param="since"
            )
        return event_stream(self._event_lines(int(since)))

    async def _event_lines(self, since: int) -> AsyncIterator[bytes]:
        yield b": watching\n\n"
        async for event in self.runtime.event_log.since(since):
            if event is None:
                yield b": still here\n\n"
            else:
                yield server_event(event.model_dump_json(by_alias=True).encode(), id_=event.seq)

    def _wanted(self, request: Request) -> list[Model]:
        """The model that a request for a status names by its id, if it is configured; without one, all."""
        models, id_ = self.runtime.pool.models, request.query_params.get("model")
        return [model for model in (models.get(id_),) if model] if id_ is not None else list(models.values())

    def _status_of(self, model: Model) -> ModelStatus:
        pool = self.runtime.pool
        footprint = snapshot.first_footprint(model, self.runtime.monitor)
        waiting = pool.queue.count(model.id)
        max_wait, state = pool.settings.resources.max_wait, pool.supervisor.state_of(model)
        weights_bytes = self.runtime.monitor.footprints.weights_bytes(model.spec)
        status = model.status(state, waiting, max_wait, footprint, weights_bytes)
        status.fits = snapshot.fits(model, self.runtime.monitor)
        if download := self.runtime.model_downloads.running_of(model.spec):
            status.download = download.status()
        return status


class WorkersOrControl:
    """Hands requests that name a model to the proxy, a few at a time, and all others to the control routes."""

    def __init__(self, control: ASGIApp, proxy: ASGIApp) -> None:
        self._control = control
        self._proxy = proxy
        self._pacing = Pacing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_for_worker = scope["type"] == "http" and header(scope, MODEL) is not None
        if is_for_worker:
            await self._pacing.begin()
        app = self._proxy if is_for_worker else self._control
        await app(scope, receive, send)


def build(
    runtime: Runtime,
    token: str,
    *,
    on_start: Callable[[], Awaitable[None]],
    requests: RequestsInProgress | None = None,
) -> ASGIApp:
    """The manager's app, which counts its requests in `requests`. `on_start` runs before it serves the first one."""
    proxy = Proxy(runtime.pool, runtime.files, runtime.waiting_requests, runtime.spool_space)
    control = ControlRoutes(runtime, proxy, time.monotonic())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await on_start()
        yield
        await runtime.close()
        await proxy.close()

    routes = [
        Route("/health", health.alive),
        Route("/ready", control.ready),
        Route("/metrics", metrics.page),
        Route("/models", control.models),
        *ModelRoutes(runtime).routes(),
        Route("/status", control.status),
        Route("/history", control.history),
        Route("/waits", control.wait, methods=["GET"]),
        Route("/waits", control.waits, methods=["POST"]),
        Route("/events", control.events),
        *LogRoutes(runtime).routes(),
        *ConfigurationRoutes(ConfigurationEdits.of(runtime)).routes(),
        Route("/evict/{name:path}", control.evict, methods=["POST"]),
        Route("/load/{name:path}", control.load, methods=["POST"]),
        Route("/forget/{name:path}", control.forget, methods=["POST"]),
        Route("/gateways/{id}/stopping", control.gateway_stops, methods=["POST"]),
        Route("/reload", control.reload, methods=["POST"]),
    ]
    control_app = Starlette(routes=routes, exception_handlers=errors.HANDLERS, lifespan=lifespan)
    app = guarded(WorkersOrControl(control_app, proxy), token, runtime.models.settings, MODEL)
    return RequestMiddleware(DrainMiddleware(app, requests or RequestsInProgress()))
