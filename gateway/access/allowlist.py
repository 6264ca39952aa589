"""Restricts access to clients of certain networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from contract.config import ConfigError


class Allowlist:
    """The networks whose clients have access; if empty, all have. Raises ConfigError for an invalid network."""

    def __init__(self, networks: Iterable[str]) -> None:
        try:
            self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)
        except ValueError as error:
            message = f"security.ip_allowlist: {error}; write addresses or networks such as 192.168.1.0/24"
            raise ConfigError(message) from None
        self.allows = lru_cache(1024)(self._allows)

    def _allows(self, host: str) -> bool:
        if not self._networks:
            return True
        address = _parse(host)
        return address is not None and any(address in network for network in self._networks)


@lru_cache(1024)
def is_loopback(host: str) -> bool:
    """Whether a client's address is one of this machine's loopback addresses."""
    address = _parse(host)
    return address is not None and address.is_loopback


def _parse(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, as IPv4 if it is an IPv4 address mapped to IPv6; None if it is not an address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
