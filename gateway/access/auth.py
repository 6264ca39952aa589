"""Middleware that authenticates requests: address, then API key or token."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.asgi.hosts import host_name
from contract.asgi.middleware import header
from contract.config import Settings
from contract.errors import Forbidden, Unauthorized
from gateway.access.allowlist import Allowlist, is_loopback
from gateway.access.keys import HOW_TO_SEND, Keyring, Principal
from gateway.forwarding.client_headers import key_in_subprotocols

OPEN_PATHS = frozenset(
    {"/", "/v1", "/health", "/healthz", "/v1/health", "/ready", "/docs", "/redoc", "/openapi.json", "/ui"}
)  # fmt: skip
"""Paths that need no key: information about the service, its health and its documentation."""

_FILES = re.compile(r"/docs/[^/]+|/ui/[^/]+/[^/]+(?:/[^/]+)*")
"""The files of the API reference and of the page need no key either."""

_OF_OTHERS = frozenset({b"origin", b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
"""Headers that web pages and proxies add."""


class Auth:
    """Sets `principal` in the scope of authenticated requests. Raises Unauthorized or Forbidden for others."""

    def __init__(self, app: ASGIApp, settings: Settings, keyring: Keyring) -> None:
        self.app = app
        self._keyring = keyring
        self._allowlist = Allowlist(settings.security.ip_allowlist)
        self._trust_localhost = settings.security.allow_localhost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not _is_open(scope):
            scope["principal"] = self._authenticate(scope)
        await self.app(scope, receive, send)

    def _authenticate(self, scope: Scope) -> Principal | None:
        """The client; None if no key is required of it."""
        host = scope["client"][0] if scope.get("client") else ""
        if self._trust_localhost and is_loopback(host) and _came_to_loopback(scope):
            return None
        if not self._allowlist.allows(host):
            message = f"Requests from {host or 'unknown addresses'} are not allowed."
            raise Forbidden(f"{message} Add the address to security.ip_allowlist.")
        if not self._keyring:
            return None
        key = _presented_key(scope)
        if key is None:
            raise Unauthorized(f"This request needs an API key. {HOW_TO_SEND}")
        return self._keyring.identify(key)


def _is_open(scope: Scope) -> bool:
    """Whether a request reads an open path; with other methods, and below these paths, external servers may answer."""
    path = scope["path"]
    return scope["method"] == "GET" and (path in OPEN_PATHS or bool(_FILES.fullmatch(path)))


def _came_to_loopback(scope: Scope) -> bool:
    """Whether a request is for a loopback name, and neither a web page nor a proxy has sent it.

    Some proxies on this machine send their own name for us as the `Host`.
    """
    host = host_name(header(scope, b"host") or "")
    foreign = any(name in _OF_OTHERS for name, _ in scope["headers"])
    return not foreign and (host == "localhost" or is_loopback(host))


def _presented_key(scope: Scope) -> str | None:
    authorization = header(scope, b"authorization")
    if authorization and authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    return header(scope, b"x-api-key") or key_in_subprotocols(scope)
