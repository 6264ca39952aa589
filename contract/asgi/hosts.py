"""Rejects requests for host names that are not this server's, so that no web page can reach it through its own name.

A page can point its own domain at any address, this machine's included (DNS rebinding). The browser then treats this
server as part of the page, but still sends the page's domain as `Host`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import Forbidden

MAX_HOST = 300
"""Characters of a `Host`. A name has at most 253; checking one of 60 KiB would take seconds."""

_CONTAINER_NAMES = frozenset({"host.docker.internal", "gateway.docker.internal", "host.containers.internal"})
"""Names by which containers reach the machine that they run on."""


class HostCheck:
    """Middleware that raises Forbidden for an unknown `Host`.

    IP addresses and this machine's names are always known: no page can own them. The same is true of names of one label
    (`localhost`, a container's name), which `single_labels=False` refuses even so. `hosts` adds names; `*.example.com`
    adds a domain's subdomains and `*` every name. `setting` is what the error tells users to change.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], setting: str, *, single_labels: bool = True) -> None:
        self.app = app
        self._single_labels = single_labels
        self._hosts = frozenset(host.lower().rstrip(".") for host in hosts) | _CONTAINER_NAMES | own_names()
        self._setting = setting
        self._is_known = lru_cache(1024)(self._check)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, value in scope.get("headers", ()):
            host = host_name(str(value, "latin-1")) if name == b"host" else ""
            if name == b"host" and not (len(value) <= MAX_HOST and self._is_known(host)):
                message = f"This server does not know the host name {host[:200]!r}. If clients may use it, add it to"
                raise Forbidden(f"{message} {self._setting}.")
        await self.app(scope, receive, send)

    def _check(self, host: str) -> bool:
        parent = host.partition(".")[2]
        if not host or (self._single_labels and not parent) or host.endswith(".localhost") or is_address(host):
            return True
        if "*" in self._hosts or host in self._hosts:
            return True
        labels = parent.split(".")
        return any("*." + ".".join(labels[start:]) in self._hosts for start in range(len(labels)))


def host_name(value: str) -> str:
    """The name or address in a `Host` header, without port and brackets, in lower case."""
    value = value.strip().lower()
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.partition(":")[0].rstrip(".")


def own_names() -> frozenset[str]:
    """This machine's name, also as other machines in the same network find it (`.local`)."""
    name = socket.gethostname().lower()
    return frozenset({name, name.partition(".")[0] + ".local"})


@lru_cache(1024)
def is_address(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
