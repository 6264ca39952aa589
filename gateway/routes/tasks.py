"""One public route per task: reads a request, checks it, and hands it to the task forwarder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.asgi.body import ClientDisconnected, cancel_on_disconnect, read_body
from contract.asgi.middleware import header
from contract.asgi.pacing import Pacing
from contract.tasks import Task, all_tasks
from gateway.dialects.plain_paths import single_slashes
from gateway.forwarding.client_headers import (
    forwarded_headers,
    requested_keep_alive,
    requested_wait,
    wants_loading_messages,
)
from gateway.forwarding.offload import offload
from gateway.forwarding.task_forwarder import TaskCall, check_whole, decode
from gateway.services import Services

log = logging.getLogger(__name__)


class TaskEndpoint:
    """The ASGI app behind one task's path."""

    def __init__(self, task: Task[Any, Any], services: Services) -> None:
        self.task = task
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint_label"] = self.task.path
        try:
            body = await read_body(scope, receive, self._services.body_limit)
            async with cancel_on_disconnect(receive):
                call = await self._call(scope, body)
                del body  # `call` holds it and releases it as early as it can
                try:
                    await self._services.tasks.forward(call, send)
                finally:
                    scope["model"] = call.model
        except ClientDisconnected:
            log.debug("the client of request %s disconnected", scope["request_id"])

    async def model_for(self, content_type: str, body: bytes) -> str:
        """The id of the model for a request that is to run as a job. Raises ServeError if it could not run."""
        request = await offload(len(body), decode, self.task, content_type, body)
        check_whole(request)
        return await self._services.tasks.model_for(self.task, request)

    async def _call(self, scope: Scope, body: bytes) -> TaskCall:
        content_type = header(scope, b"content-type") or ""
        return TaskCall(
            task=self.task,
            request=await offload(len(body), decode, self.task, content_type, body),
            request_id=scope["request_id"],
            body=body,
            headers=forwarded_headers(scope),
            query=scope["query_string"],
            max_wait=requested_wait(scope),
            keep_alive=requested_keep_alive(scope),
            loading_messages=wants_loading_messages(scope),
            job_priority=scope.get("job_priority"),
        )


class TaskRoutes:
    """Middleware that sends requests for tasks and dialects straight to their endpoints, and all others to FastAPI.

    `below` are endpoints for all paths that begin with a text.
    """

    def __init__(
        self, app: ASGIApp, endpoints: Mapping[str, ASGIApp], below: Mapping[str, ASGIApp], pacing: Pacing
    ) -> None:
        self.app = app
        self._endpoints = endpoints
        self._below = below
        self._pacing = pacing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = (self._endpoints.get(scope["path"]) or self._meant(scope["path"])) if is_post else None
        if endpoint:
            await self._pacing.begin()
        await (endpoint or self.app)(scope, receive, send)

    def _meant(self, path: str) -> ASGIApp | None:
        """The endpoint above a path, or the one that clients mean whose base URL ends with a slash or lacks `/v1`."""
        for start, endpoint in self._below.items():
            if path.startswith(start):
                return endpoint
        plain = single_slashes(path).rstrip("/")
        return self._endpoints.get(plain) or self._endpoints.get(f"/v1{plain}")


def endpoints(services: Services) -> dict[str, TaskEndpoint]:
    """An endpoint for every task, by path."""
    return {task.path: TaskEndpoint(task, services) for task in all_tasks().values()}


def routes(endpoints: Mapping[str, ASGIApp]) -> list[Route]:
    """Routes for the endpoints, so that the router knows the paths and rejects other methods."""
    return [Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()]
