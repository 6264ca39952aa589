"""Which requests the manager accepts: those of the gateway and of tools on this machine, and none of a web page."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.asgi.hosts import HostCheck
from contract.asgi.middleware import header
from contract.config import Settings
from contract.errors import Forbidden, Unauthorized

PUBLIC_PATHS = frozenset({"/health", "/ready"})
"""The manager's own paths that need no token."""


class TokenAuth:
    """Requires the manager's token on every path but the public ones. Raises Unauthorized.

    A request with the header `for_worker` goes to a worker, whose paths are all private.
    """

    def __init__(self, app: ASGIApp, token: str, for_worker: bytes) -> None:
        self.app = app
        self._for_worker = for_worker
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_public(scope):
            authorization = (header(scope, b"authorization") or "").encode("latin-1")
            if not hmac.compare_digest(authorization, self._expected):
                message = "The manager requires its token: Authorization: Bearer <content of data/manager/token>."
                raise Unauthorized(message)
        await self.app(scope, receive, send)

    def _is_public(self, scope: Scope) -> bool:
        return scope["path"] in PUBLIC_PATHS and header(scope, self._for_worker) is None


class NoWebPages:
    """Raises Forbidden for requests that a web page has sent: browsers add an `Origin`, the gateway removes it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            another_site = header(scope, b"sec-fetch-site") in {"cross-site", "same-site"}
            if another_site or header(scope, b"origin") is not None:
                raise Forbidden("Web pages may not send requests to the manager; they use the gateway.")
        await self.app(scope, receive, send)


def guarded(app: ASGIApp, token: str, settings: Settings, for_worker: bytes) -> ASGIApp:
    """The app behind all checks; requests with the header `for_worker` go to a worker."""
    hosts = known_hosts(settings)
    return HostCheck(NoWebPages(TokenAuth(app, token, for_worker)), hosts, "gateway.manager_host", single_labels=False)


def known_hosts(settings: Settings) -> Iterable[str]:
    """The names by which the configuration addresses the manager. Addresses and this machine's names need none."""
    return {"localhost", *settings.manager.listen, settings.gateway.manager_host}
