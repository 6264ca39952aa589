"""Builds the gateway's app from its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from contract import __version__
from contract.asgi.errors import HANDLERS
from contract.asgi.middleware import RequestMiddleware
from contract.config import Settings
from gateway.access.auth import Auth, Keyring
from gateway.access.cors import Cors
from gateway.access.rate_limits import RateLimits
from gateway.forwarding.image_fetcher import ImageFetcher
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.routes import catalogue, models, system, tasks, vision_tasks
from gateway.routes.openapi import DocumentedApp
from gateway.routes.passthrough import Passthrough


def build(settings: Settings, home: Path) -> FastAPI:
    """The whole app. Raises ConfigError when keys, networks or rates are written wrongly."""
    manager = ManagerClient(settings, home)
    directory = ModelDirectory(manager)
    limit = int(settings.gateway.max_body_mb * 2**20)
    way = tasks.Services(manager, directory, ImageFetcher(limit), limit)
    endpoints = tasks.endpoints(way)
    keyring = Keyring(settings)
    app = DocumentedApp(
        title="Enginehouse",
        version=__version__,
        description="One OpenAI-compatible endpoint for every model on the machine.",
        lifespan=_following(manager, directory),
        exception_handlers=HANDLERS,
        redirect_slashes=False,
        swagger_ui_oauth2_redirect_url=None,
        # What the house counts, it counts in `RequestMiddleware`.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.asks_for_key = bool(keyring)
    app.router.routes.extend(tasks.routes(endpoints))
    app.include_router(models.router(directory))
    app.include_router(catalogue.router(manager, directory))
    app.include_router(vision_tasks.router())
    app.include_router(system.router(manager, directory))
    app.router.default = Passthrough(way)
    # Built now and not at the first request, so that a wrong network or rate stops the start.
    app.middleware_stack = _layers(app.build_middleware_stack(), settings, keyring, endpoints)
    return app


def _layers(rest: ASGIApp, settings: Settings, keyring: Keyring, endpoints: dict[str, tasks.TaskEndpoint]) -> ASGIApp:
    """Our layers around FastAPI's: a task's request meets none of the latter, which would cost it a tenth of its way.

    Errors of the inner ones become envelopes in Base, or in Cors where pages must read them; FastAPI's outermost layer,
    which would answer them in plain text, is left out.
    """
    assert isinstance(rest, ServerErrorMiddleware)
    app: ASGIApp = tasks.TaskRoutes(rest.app, endpoints)
    app = Auth(RateLimits(app, keyring.principals), settings, keyring)
    if settings.gateway.cors_origins:
        app = Cors(app, settings.gateway.cors_origins)
    return RequestMiddleware(app)


def _following(
    manager: ManagerClient, directory: ModelDirectory
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with manager.opened():
            following = asyncio.create_task(directory.follow())
            try:
                yield
            finally:
                following.cancel()

    return lifespan
