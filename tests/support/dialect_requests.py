"""Sends requests to dialect routes in process, with a real manager client behind them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message

from contract.asgi.middleware import RequestMiddleware
from contract.config import Settings
from gateway.access.origins import OriginPolicy
from gateway.app import _services
from gateway.dialects.dialect import DialectRoute
from gateway.routes.dialects import DialectEndpoint


@dataclass
class DialectAnswer:
    """What a route sent, message by message."""

    messages: list[Message] = field(default_factory=list)
    scope: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return self.messages[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class DialectApp:
    """Some routes as an app, which records nothing between requests."""

    app: ASGIApp

    async def post(
        self, body: Any, *, headers: dict[str, str] | None = None, request_id: str = "r", path: str = "/test"
    ) -> DialectAnswer:
        """Send a body, as JSON unless it is bytes."""
        answer = DialectAnswer()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", "x-request-id": request_id, **(headers or {})}
        raw = [(name.encode(), value.encode()) for name, value in sent.items()]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": raw, "client": None}
        answer.scope = scope
        pending = [{"type": "http.request", "body": content, "more_body": False}]

        async def receive() -> Message:
            if pending:
                return pending.pop()
            await _never()
            raise AssertionError

        async def send(message: Message) -> None:
            answer.messages.append(message)

        await self.app(scope, receive, send)
        return answer


async def _never() -> None:
    import asyncio

    await asyncio.Event().wait()


@asynccontextmanager
async def dialect_app(manager_port: int, home: Path, routes: Sequence[DialectRoute]) -> AsyncIterator[DialectApp]:
    """The routes, in front of the manager at this port."""
    from tests.support.gateway_processes import configuration

    settings = Settings.model_validate(configuration(manager_port, gateway={"max_body_mb": 1}))
    services = _services(settings, home, OriginPolicy(settings.gateway.cors_origins))
    async with services.manager.opened():
        yield DialectApp(RequestMiddleware(DialectEndpoint(routes, services, settings.gateway)))
