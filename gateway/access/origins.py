"""Rejects requests from web pages that change something, unless the configuration lists the page's origin.

A page can send some POST requests (forms, for example) without asking the server first. It cannot read the response,
but the request has been carried out by then.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from yarl import URL

from contract.asgi.hosts import MAX_HOST
from contract.asgi.middleware import header
from contract.errors import Forbidden

_MAX_ORIGIN = MAX_HOST + len("https://")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OriginPolicy:
    """Which web pages may send requests that change something or run a model."""

    def __init__(self, origins: Sequence[str]) -> None:
        self.replace(origins)

    def replace(self, origins: Sequence[str]) -> None:
        """Allow the pages of these origins from now on, and no others."""
        self._origins = frozenset(origins)

    def check(self, scope: Scope) -> None:
        """Raise Forbidden for a request of a page whose `Origin` is neither listed nor this server's own.

        Programs send no `Origin`. Browsers send it with all requests but GET and HEAD, and `Sec-Fetch-Site` with all.
        """
        origin = header(scope, b"origin")
        if origin is None:
            if header(scope, b"sec-fetch-site") in {"cross-site", "same-site"}:
                raise Forbidden("A web page of another origin may not send this request.")
        elif not (self._origins & {"*", origin} or is_same_origin(origin, header(scope, b"host") or "")):
            message = f"Web pages of {origin[:200]} may not send requests that change something or run a model."
            raise Forbidden(f"{message} If this one may, add its origin to gateway.cors_origins (CORS_ORIGINS).")


class OriginCheck:
    """Middleware that applies the policy to every request with a method that may change something."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self._policy = OriginPolicy(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["method"] not in _SAFE_METHODS or is_preflight(scope)):
            self._policy.check(scope)
        await self.app(scope, receive, send)


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks if a page may send a request: without allowed origins, the answer says how to allow it."""
    return scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method") is not None


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an `Origin` is the server that the `Host` names. Its scheme may differ: a proxy can have ended TLS."""
    if len(origin) > _MAX_ORIGIN:
        return False
    try:
        url = URL(origin)
        own = URL(f"{url.scheme}://{host}")
    except ValueError:
        return False
    return url.scheme in {"http", "https"} and bool(url.host) and (url.host, url.port) == (own.host, own.port)
