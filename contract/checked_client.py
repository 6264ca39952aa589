"""An HTTP client that connects to allowed addresses only, for URLs that requests and web pages name.

It is apart from the rule in `contract.addresses`, because aiohttp takes long to import and not every program connects.
"""

from __future__ import annotations

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from contract.addresses import Allowed, resolve


def client_session(allowed: Allowed) -> aiohttp.ClientSession:
    """A client that resolves names to `allowed` addresses only. Before each request, call `check_host`.

    Nothing of this machine or of an earlier response goes along: no proxy from the environment, no cookies.
    """
    connector = aiohttp.TCPConnector(resolver=_CheckedResolver(allowed), use_dns_cache=False)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


class _CheckedResolver(AbstractResolver):
    """Resolves names to allowed addresses only. aiohttp connects to exactly these, without a second DNS lookup."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return await resolve(host, port, self._allowed, family)

    async def close(self) -> None:
        """Nothing to release."""
