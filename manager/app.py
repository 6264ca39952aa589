"""The manager's routes: control for the gateway and the person at the machine, and the way through to the workers."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from contract import __version__
from contract.asgi import errors, health, metrics
from contract.asgi.middleware import RequestMiddleware, header
from contract.config import ConfigError
from contract.errors import BadRequest, InvalidField, ModelNotFound, Unauthorized, Unavailable
from contract.status import ModelStatus, Status
from manager.models import downloads
from manager.proxy import MODEL, Proxy
from manager.runtime import Runtime
from manager.scheduling import sizing
from manager.state.model import Model

OPEN = frozenset({"/health", "/ready"})


@dataclass(frozen=True, slots=True)
class ControlRoutes:
    """The control routes over one house."""

    house: Runtime
    started: float

    async def ready(self, _: Request) -> Response:
        """GET /ready: requests would be served, since the scheduler turns."""
        if not self.house.pool.turning():
            raise Unavailable("The scheduler has not turned for 5 s; see the manager's log.", retry_after=1)
        return JSONResponse({"status": "ready"})

    async def models(self, _: Request) -> Response:
        """GET /models: every configured model, for the gateway."""
        models = [self._status_of(model).model_dump(mode="json") for model in self.house.pool.models.values()]
        return JSONResponse({"seq": self.house.events.seq, "models": models})

    async def downloads(self, _: Request) -> Response:
        """GET /downloads: which models lie on this machine, the configured ones and those of the catalogue."""
        known = await asyncio.to_thread(downloads.of_catalogue)
        return JSONResponse({"models": await self.house.downloads(), "catalogue": known})

    async def status(self, _: Request) -> Response:
        """GET /status: everything there is to see."""
        pool, gauge = self.house.pool, self.house.gauge
        workers = pool.roster.workers
        await gauge.sample(workers)
        now = asyncio.get_running_loop().time()
        page = Status(
            version=__version__,
            uptime=round(time.monotonic() - self.started, 1),
            seq=self.house.events.seq,
            waiting=len(pool.waiting),
            leases=pool.roster.leases,
            devices=gauge.status(workers),
            workers=[worker.status(now) for worker in workers],
            models=[self._status_of(model) for model in pool.models.values()],
            standbys=self.house.standbys(),
            leaks=pool.roster.leaks,
        )
        return Response(page.model_dump_json(), media_type="application/json")

    async def evict(self, request: Request) -> Response:
        """POST /evict/{id}: end a model's workers and wait until their memory is back."""
        name = request.path_params["name"]
        model = self.house.catalog.named(name)
        if model is None:
            raise ModelNotFound(f"There is no model {name!r}; GET /v1/models lists those that there are.")
        going = self.house.pool.evict(model.id)
        freed = sum(worker.measured for worker in going)
        while any(worker.live for worker in going):
            await self.house.events.next(pulse=5)
        return JSONResponse({"evicted": [worker.name for worker in going], "freed_bytes": freed})

    async def reload(self, _: Request) -> Response:
        """POST /reload: read the configuration again; a wrong one changes nothing."""
        try:
            return JSONResponse({"changed": await self.house.reload()})
        except ConfigError as error:
            raise BadRequest(f"The configuration was not taken on: {error}") from None

    async def events(self, request: Request) -> Response:
        """GET /events?since=N: what happens, as it happens."""
        since = request.query_params.get("since", str(self.house.events.seq))
        if not since.isdecimal():
            raise InvalidField(
                "`since` must be an event's number, such as 12; leave it out for new ones.", param="since"
            )
        return StreamingResponse(self._event_lines(int(since)), media_type="text/event-stream")

    async def _event_lines(self, since: int) -> AsyncIterator[str]:
        yield ": watching\n\n"
        async for event in self.house.events.since(since):
            if event is None:
                yield ": still here\n\n"
            else:
                yield f"id: {event.seq}\ndata: {event.model_dump_json(by_alias=True)}\n\n"

    def _status_of(self, model: Model) -> ModelStatus:
        pool = self.house.pool
        footprint = sizing.first_footprint(model, self.house.gauge)
        waiting = pool.waiting.count(model.id)
        return model.status(pool.roster.state_of(model), waiting, pool.settings.resources.max_wait, footprint)


class TokenAuth:
    """Asks everybody for the manager's token, and sends what names a model through to a worker."""

    def __init__(self, control: ASGIApp, through: ASGIApp, token: str) -> None:
        self._control = control
        self._through = through
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = (header(scope, b"authorization") or "").encode("latin-1")
            if not hmac.compare_digest(given, self._expected):
                message = "The manager answers only who sends its token: Authorization: Bearer <data/manager/token>."
                raise Unauthorized(message)
            if header(scope, MODEL) is not None:
                await self._through(scope, receive, send)
                return
        await self._control(scope, receive, send)


def build(house: Runtime, token: str, *, on_start: Callable[[], Awaitable[None]]) -> ASGIApp:
    """The manager's app. `on_start` runs when it begins to serve."""
    control, through = ControlRoutes(house, time.monotonic()), Proxy(house.pool)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await on_start()
        yield
        await house.close()
        await through.close()

    routes = [
        Route("/health", health.alive),
        Route("/ready", control.ready),
        Route("/metrics", metrics.page),
        Route("/models", control.models),
        Route("/downloads", control.downloads),
        Route("/status", control.status),
        Route("/events", control.events),
        Route("/evict/{name:path}", control.evict, methods=["POST"]),
        Route("/reload", control.reload, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers=errors.HANDLERS, lifespan=lifespan)
    return RequestMiddleware(TokenAuth(app, through, token))
