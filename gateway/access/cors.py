"""Lets web pages from other origins call the API, if the configuration lists the origins."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.arrays import HEADER_PREFIX
from contract.asgi.errors import send_error
from contract.tasks import all_tasks
from gateway.access.origins import OriginPolicy, is_preflight
from gateway.access.rate_limits import LIMIT_HEADER, REMAINING_HEADER


def exposed_headers() -> list[str]:
    """The response headers that pages may read besides those that every browser allows."""
    array_fields = {"dtype", "shape"}.union(*(task.array_metadata for task in all_tasks().values()))
    headers = ["x-request-id", "server-timing", "retry-after", "x-should-retry", LIMIT_HEADER, REMAINING_HEADER]
    return [*headers, *(HEADER_PREFIX + name for name in sorted(array_fields))]


class Cors(CORSMiddleware):
    """Starlette's middleware around everything that can fail: pages can read an error only if it has CORS headers."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        inner = _ErrorEnvelope(app)
        self._policy = OriginPolicy(origins)
        super().__init__(
            inner,
            origins,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=exposed_headers(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            scope["endpoint_label"] = "preflight"
            if is_preflight(scope):
                self._policy.check(scope)  # it says which setting allows the page
        await super().__call__(scope, receive, send)


class _ErrorEnvelope:
    """Sends the error envelope for an exception that is raised before the response has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def tracking_send(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self.app(scope, receive, tracking_send)
        except Exception as error:
            if began or scope["type"] != "http":
                raise
            await send_error(send, error, scope.get("request_id"), scope["error_form"])
