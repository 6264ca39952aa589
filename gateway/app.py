"""Builds the gateway's app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp

from contract import __version__
from contract.addresses import AddressRule
from contract.asgi.body_memory import BodyBudget, BodyMemory
from contract.asgi.draining import DrainMiddleware, RequestsInProgress
from contract.asgi.errors import HTTP_HANDLERS
from contract.asgi.hosts import HostCheck
from contract.asgi.middleware import HeadAsGet, RequestMiddleware
from contract.asgi.pacing import Pacing
from contract.config import Settings
from gateway.access.auth import Auth
from gateway.access.cors import Cors
from gateway.access.keys import Keyring
from gateway.access.live_access import LiveAccess
from gateway.access.origins import OriginCheck, OriginPolicy
from gateway.captured_bodies import BodyCapture
from gateway.configuration import FollowedConfiguration
from gateway.dialects.error_forms import form_of
from gateway.forwarding.auto_add import AutoAdd
from gateway.forwarding.external_forwarder import ExternalForwarder
from gateway.forwarding.image_fetcher import ImageFetcher
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.forwarding.task_forwarder import TaskForwarder
from gateway.jobs.engine import JobEngine
from gateway.jobs.execution import Executor
from gateway.jobs.watch import JobWatch
from gateway.request_log import RequestLog
from gateway.responses.background import BackgroundResponses
from gateway.responses.earlier_items import TOKENS_PATH, EarlierItems, WithEarlierItems
from gateway.responses.endpoint import PATH, ResponsesEndpoint
from gateway.responses.store import ResponseStore
from gateway.routes import batches as batch_routes
from gateway.routes import (
    catalogue,
    dialect_controls,
    dialects,
    history,
    listings,
    logs,
    model_downloads,
    model_entries,
    models,
    props,
    reference,
    request_log,
    status,
    stored_responses,
    system,
    task_schemas,
    tasks,
    upstream,
    voices,
)
from gateway.routes import files as file_routes
from gateway.routes import jobs as job_routes
from gateway.routes.configuration import ConfigurationFileRoutes
from gateway.routes.jobs import JobEndpoint, JobRoutes, JobSubmission
from gateway.routes.keys import KeyRoutes
from gateway.routes.openapi import DocumentedApp
from gateway.routes.passthrough import Passthrough
from gateway.services import Services
from gateway.ui.page_files import PageFiles
from gateway.ui.routes import PageServer


def build(settings: Settings, home: Path, requests: RequestsInProgress | None = None) -> DocumentedApp:
    """The complete ASGI app, which counts its `requests`. Raises ConfigError for invalid networks or rate limits."""
    origins = OriginPolicy(settings.gateway.cors_origins)
    services = _services(settings, home, origins)
    requests = requests or RequestsInProgress()
    endpoints: dict[str, JobEndpoint] = {**dialects.endpoints(services, settings.gateway), **tasks.endpoints(services)}
    keyring, configuration = Keyring(settings), FollowedConfiguration(settings)
    bodies, log = _body_budget(settings), RequestLog(BodyCapture(settings.gateway))
    watched = Executor(endpoints, bodies, max(bodies.limit // 2, services.body_limit), log.middleware)
    jobs = _jobs(settings, home, watched, keyring)
    responses = ResponseStore(home / "responses", settings.responses)
    background = BackgroundResponses(responses, jobs)
    endpoints |= _stored_conversations(endpoints, EarlierItems(responses, background), services.body_limit)
    app = DocumentedApp(
        title="Enginehouse",
        version=__version__,
        description="One OpenAI-compatible endpoint for every model on the machine.",
        lifespan=_lifespan(services, jobs, responses, requests, configuration),
        exception_handlers=HTTP_HANDLERS,
        redirect_slashes=False,
        docs_url=None,  # `reference` serves both pages
        redoc_url=None,
        # Metrics are counted in `RequestMiddleware`.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.routes.extend([*tasks.routes(endpoints), *dialect_controls.routes(services)])
    _add_routes(app, services, jobs, configuration)
    handlers = JobRoutes(jobs, JobWatch(jobs, services.manager), endpoints, services.body_limit)
    routers = (*_job_routers(jobs, handlers, settings), *_admin_routers(services, configuration, keyring, log))
    for router in (*routers, stored_responses.router(responses, background)):
        app.include_router(router)
    app.router.routes.append(upstream.route(services))
    app.router.default = Passthrough(services, app.router)
    # Built now and not at the first request, so that an invalid network or rate limit prevents the start.
    inner, submissions = _inner(app.build_middleware_stack()), {job_routes.SUBMIT: JobSubmission(handlers)}
    counted = BodyMemory(tasks.TaskRoutes(inner, endpoints, submissions, services.pacing), bodies)
    access = LiveAccess(counted, settings, keyring, origins, _checks(keyring, requests, log))
    _follow(configuration, app, access, keyring)
    app.middleware_stack = access
    return app


def _follow(configuration: FollowedConfiguration, app: DocumentedApp, access: LiveAccess, keyring: Keyring) -> None:
    """Put changes of the configuration in force, also in the API reference."""
    app.requires_key = bool(keyring)

    def apply(settings: Settings) -> None:
        access.apply(settings)
        if app.requires_key != bool(keyring):
            app.requires_key, app.openapi_schema = bool(keyring), None

    configuration.on_change(apply)


def _add_routes(app: DocumentedApp, services: Services, jobs: JobEngine, configuration: FollowedConfiguration) -> None:
    manager, directory = services.manager, services.directory
    app.include_router(models.router(directory))
    app.include_router(props.router(directory))
    app.include_router(voices.router(directory))
    app.include_router(model_downloads.router(manager))
    app.include_router(model_entries.router(manager, directory))
    app.include_router(catalogue.router(manager, directory))
    app.include_router(listings.router())
    app.include_router(task_schemas.router(directory))
    app.include_router(history.router(manager))
    app.include_router(logs.router(manager))
    app.include_router(reference.router())
    app.include_router(status.router(manager, jobs, configuration))
    page = PageServer(PageFiles())
    app.include_router(page.router())
    app.include_router(system.router(manager, directory, jobs, configuration, page))


def _stored_conversations(
    endpoints: Mapping[str, JobEndpoint], earlier: EarlierItems, limit: int
) -> dict[str, JobEndpoint]:
    """The endpoints of the paths whose requests may name stored responses, around those that answer them."""
    return {
        PATH: ResponsesEndpoint(endpoints[PATH], earlier, limit),
        TOKENS_PATH: WithEarlierItems(endpoints[TOKENS_PATH], earlier, limit),
    }


def _jobs(settings: Settings, home: Path, executor: Executor, keyring: Keyring) -> JobEngine:
    allowed = AddressRule(settings.gateway.allow_private)
    return JobEngine(Path(settings.jobs.folder or home / "jobs"), settings.jobs, executor, keyring.admits, allowed)


def _job_routers(jobs: JobEngine, handlers: JobRoutes, settings: Settings) -> tuple[APIRouter, ...]:
    batches = jobs.batches(handlers.endpoints, handlers.body_limit)
    return (
        job_routes.router(handlers),
        file_routes.router(jobs, jobs.files, int(settings.jobs.max_file_mb * 2**20)),
        batch_routes.router(jobs, batches, handlers.endpoints),
    )


def _admin_routers(
    services: Services, configuration: FollowedConfiguration, keyring: Keyring, log: RequestLog
) -> tuple[APIRouter, ...]:
    manager, directory = services.manager, services.directory
    keys = KeyRoutes(manager, directory, configuration, keyring)
    return request_log.router(log), keys.router(), ConfigurationFileRoutes(manager, directory, configuration).router()


def _services(settings: Settings, home: Path, origins: OriginPolicy) -> Services:
    manager = ManagerClient(settings, home)
    directory = ModelDirectory(manager)
    body_limit = int(settings.gateway.max_body_mb * 2**20)
    stream_wait = settings.gateway.stream_wait
    fetcher = ImageFetcher(body_limit, AddressRule(settings.gateway.allow_private))
    return Services(
        manager=manager,
        directory=directory,
        auto_add=AutoAdd(manager, directory, enabled=settings.gateway.auto_add),
        tasks=TaskForwarder(manager, directory, fetcher, stream_wait),
        external=ExternalForwarder(manager, stream_wait),
        body_limit=body_limit,
        pacing=Pacing(),
        check_origin=origins.check,
    )


def _inner(stack: ASGIApp) -> ASGIApp:
    """FastAPI's middleware without the outermost, which would turn exceptions into plain text."""
    assert isinstance(stack, ServerErrorMiddleware)
    return stack.app


def _body_budget(settings: Settings) -> BodyBudget:
    """The memory for all bodies, in which one of the largest size always has room."""
    return BodyBudget(int(max(settings.gateway.max_bodies_mb, settings.gateway.max_body_mb) * 2**20))


def _checks(keyring: Keyring, requests: RequestsInProgress, log: RequestLog) -> Callable[[ASGIApp, Settings], ASGIApp]:
    """Wraps routes in the checks of every request. Those for tasks skip FastAPI's, which would slow them by a tenth.

    RequestMiddleware turns exceptions into error envelopes; with CORS, Cors does, so that pages can read them.
    """

    def wrap(app: ASGIApp, settings: Settings) -> ASGIApp:
        origins = settings.gateway.cors_origins
        app = DrainMiddleware(OriginCheck(Auth(app, settings, keyring), origins), requests)
        if origins:
            app = Cors(app, origins)
        app = HostCheck(app, settings.gateway.hosts, "gateway.hosts (GATEWAY_HOSTS)")
        return HeadAsGet(RequestMiddleware(log.middleware(app), form_of))

    return wrap


def _lifespan(
    services: Services,
    jobs: JobEngine,
    responses: ResponseStore,
    requests: RequestsInProgress,
    configuration: FollowedConfiguration,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        requests.on_exit = lambda: loop.call_soon_threadsafe(stopping.set)
        manager, directory = services.manager, services.directory
        async with manager.opened(), responses.opened(), jobs.opened():
            work = (directory.follow(), manager.end_waiting_after(stopping), configuration.follow())
            tasks = [asyncio.create_task(task) for task in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    return lifespan
