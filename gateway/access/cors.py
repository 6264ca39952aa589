"""Lets web pages of other origins call the house, where the configuration names them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.asgi.errors import send_error

_SHOWN = [
    "x-request-id",
    "server-timing",
    "retry-after",
    "x-array-dtype",
    "x-array-shape",
    "x-array-scale",
    "x-array-offset",
    "x-array-unit",
    "x-array-kind",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
]


class Cors(CORSMiddleware):
    """Starlette's middleware, so placed that errors carry its headers too: a page could not read them otherwise."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        answered = _ErrorEnvelope(app)
        super().__init__(answered, origins, allow_methods=["*"], allow_headers=["*"], expose_headers=_SHOWN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            scope["endpoint_label"] = "preflight"
        await super().__call__(scope, receive, send)


class _ErrorEnvelope:
    """Answers with the envelope what the app inside refuses before it began to answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def watch(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            if began or scope["type"] != "http":
                raise
            await send_error(send, error, scope.get("request_id"))
