"""An HTTP client that connects to allowed addresses only, for URLs that requests and web pages name.

It is apart from the rule in `contract.addresses`, because aiohttp takes long to import and not every program connects.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import partial

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from contract.addresses import Allowed, NotPublic, resolve


def client_session(allowed: Allowed) -> aiohttp.ClientSession:
    """A client that connects to `allowed` addresses only; otherwise, a request fails because of NotPublic.

    Nothing of this machine or of an earlier response goes along: no proxy from the environment, no cookies.
    """
    # aiohttp resolves no host that is an address, in none of its spellings: the last check is that of the socket.
    connector = aiohttp.TCPConnector(
        resolver=_CheckedResolver(allowed), use_dns_cache=False, socket_factory=partial(_checked_socket, allowed)
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


def _checked_socket(allowed: Allowed, info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket for a connection to an address. Raises NotPublic unless that is `allowed`."""
    family, kind, protocol, _, address = info
    if not allowed(ipaddress.ip_address(address[0])):
        raise NotPublic(f"{address[0]} is not public")
    return socket.socket(family, kind, protocol)


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
