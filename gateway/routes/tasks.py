"""One public route per task: reads and checks a request, chooses its model, and sends the original bytes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect, read_body
from contract.asgi.middleware import header
from contract.errors import BadImage, InvalidField
from contract.media import field_path, images_in
from contract.status import ModelStatus
from contract.tasks import Request, Task, all_tasks
from gateway.forwarding.forward import ForwardedRequest, forward, onward_headers
from gateway.forwarding.image_fetcher import ImageFetcher
from gateway.forwarding.manager_client import ManagerClient
from gateway.forwarding.model_directory import ModelDirectory
from gateway.forwarding.prerequisite import ask_first
from gateway.forwarding.replace_model import replace_model

log = logging.getLogger(__name__)

T = TypeVar("T")

LARGE_BODY = 256 * 1024
"""From this size on a body is decoded in a thread, so that other requests go on meanwhile."""


@dataclass(frozen=True, slots=True)
class Services:
    """What every route needs to get a request to a worker. `limit` is the largest body in bytes."""

    manager: ManagerClient
    directory: ModelDirectory
    fetcher: ImageFetcher
    limit: int


class TaskEndpoint:
    """The ASGI app behind one task's path."""

    def __init__(self, task: Task[Any, Any], way: Services) -> None:
        self.task = task
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = self.task.path
        try:
            body = _Body(await read_body(scope, receive, self._way.limit))
            async with cancel_on_disconnect(receive):
                call = await self._prepare(scope, body)
                await forward(self._way.manager, call, send)
        except ClientDisconnected:
            log.debug("the client of request %s left", scope["request_id"])

    async def _prepare(self, scope: Scope, body: _Body) -> ForwardedRequest:
        request = await beside(len(body.content), self._decode, header(scope, b"content-type") or "", body)
        catalog = await self._way.directory.catalog()
        model = catalog.choose(self.task.name, request.model)
        scope["model"] = model.id
        catalog.check_features(self.task.name, model, request)
        keep_alive = request.keep_alive
        again = await self._fetch(request) or (model.passthrough is not None and not _is_json(scope))
        again = await ask_first(self._way.manager, catalog, request, scope["request_id"]) or again
        if again:
            # The bytes go first, then the request: original, decoded and new form are never held together.
            body.content = b""
            body.content = await asyncio.to_thread(_encode, request)  # pictures are in it now: it may be large
        del request
        if model.passthrough:
            body.content = await beside(len(body.content), replace_model, body.content, model.passthrough)
        headers = onward_headers(scope, json_body=again)
        if keep_alive is not None:
            headers.append(("x-enginehouse-keep-alive", repr(keep_alive)))
        return ForwardedRequest(
            url=_url(self._way.manager, scope),
            model=model.id,
            body=body.content,
            max_wait=max_wait(scope, model),
            request_id=scope["request_id"],
            headers=headers,
        )

    def _decode(self, content_type: str, body: _Body) -> Request:
        request: Request = self.task.decode(content_type, body.content)
        try:
            for image in images_in(request):
                image.check()
        except BadImage as error:
            error.param = field_path(error.image, request)
            raise
        return request

    async def _fetch(self, request: Request) -> bool:
        """Put pictures in the place of their URLs; says whether there were any."""
        addressed = [image for image in images_in(request) if image.url]
        try:
            if addressed:
                await self._way.fetcher.inline(addressed)
        except BadImage as error:
            error.param = field_path(error.image, request)
            raise
        return bool(addressed)


async def beside(size: int, work: Callable[..., T], *given: Any) -> T:
    """Do work on `size` bytes: in a thread beside the loop where it would hold up others, else at once."""
    return await asyncio.to_thread(work, *given) if size > LARGE_BODY else work(*given)


@dataclass(slots=True)
class _Body:
    """Holds a body's bytes, so that they can be let go while the request goes on."""

    content: bytes


def _is_json(scope: Scope) -> bool:
    return not (header(scope, b"content-type") or "").lower().startswith("multipart/")


def _encode(request: Request) -> bytes:
    return request.__pydantic_serializer__.to_json(request, exclude_unset=True)


def _url(manager: ManagerClient, scope: Scope) -> Any:
    query = scope["query_string"]
    return manager.url(scope["path"], query) if query else manager.remember(scope["path"])


def max_wait(scope: Scope, model: ModelStatus) -> float:
    """Seconds that a request may wait for its model: the model's own limit, or less if `X-Max-Wait` asks for it."""
    asked = header(scope, b"x-max-wait")
    if asked is None:
        return model.max_wait
    try:
        seconds = float(asked)
    except ValueError:
        seconds = -1
    if not seconds >= 0:
        raise InvalidField("`X-Max-Wait` must be a number of seconds, such as 30.", param="X-Max-Wait")
    return min(seconds, model.max_wait)


class TaskRoutes:
    """Middleware that takes the tasks' paths straight to their endpoints; the rest is FastAPI's."""

    def __init__(self, app: ASGIApp, endpoints: dict[str, TaskEndpoint]) -> None:
        self.app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and (found := self._endpoints.get(scope["path"])):
            await found(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def endpoints(way: Services) -> dict[str, TaskEndpoint]:
    """An endpoint for every task, by its path."""
    return {task.path: TaskEndpoint(task, way) for task in all_tasks().values()}


def routes(found: dict[str, TaskEndpoint]) -> list[Route]:
    """The same as routes, so that the router knows the paths and refuses other methods."""
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in found.items()]
