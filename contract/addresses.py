"""Which addresses a request may make us connect to: public ones, and private networks that the configuration allows.

Images at URLs and crawled pages follow the same rule. Names are resolved once, and connections go to the addresses that
were checked, so that a second DNS answer does not matter.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
ALLOW_PRIVATE = "GATEWAY_ALLOW_PRIVATE"
"""The environment variable that overrides `gateway.allow_private`. The manager sets it for its workers."""
Allowed = Callable[[IPAddress], bool]


class NotPublic(OSError):
    """The address is not public. An OSError, so that it passes through aiohttp as one."""


def is_public(address: IPAddress) -> bool:
    """Whether the address is reachable from the whole internet: not loopback, private, link-local or tunnelled."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address.sixtofour or address.teredo or address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast


_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""The only IPv6 addresses in public use. Outside: site-local, NAT64 and IPv4-compatible ones, for example."""


def reason(error: Exception) -> str:
    """Why a connection failed, in the system's words, such as `Connection refused`."""
    if isinstance(error, socket.gaierror):
        return "its name has no address"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error) or type(error).__name__


class AddressRule:
    """Whether an address may be connected to: it is public, or in one of the `networks` (`gateway.allow_private`)."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]

    def __call__(self, address: IPAddress) -> bool:
        plain = (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address
        return is_public(address) or any(plain in network for network in self._networks)


async def resolve(host: str, port: int, allowed: Allowed, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
    """The addresses of a host, which may be an address itself. Raises NotPublic unless all of them are `allowed`.

    Raises OSError if the name has no address, and ValueError for a name with empty or long labels.
    """
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    if not all(allowed(ipaddress.ip_address(str(address[0]))) for *_, address in entries):
        raise NotPublic(f"{host} has an address that is not public")
    return [
        {"hostname": host, "host": str(address[0]), "port": port, "family": address_family, "proto": proto, "flags": 0}
        for address_family, _, proto, _, address in entries
    ]


def check_host(host: str, allowed: Allowed) -> None:
    """Raise NotPublic for a host that is an address which is not `allowed`: aiohttp does not resolve those."""
    address = _address(host)
    if address and not allowed(address):
        raise NotPublic(f"{host} is not public")


def _address(host: str) -> IPAddress | None:
    """The host's address if it is one, also in the forms of `inet_aton`, such as 2130706433, 0x7f.1 or 0177.0.0.1."""
    for read in (ipaddress.ip_address, lambda text: ipaddress.ip_address(socket.inet_aton(text))):
        with suppress(ValueError, OSError):
            return read(host)
    return None
