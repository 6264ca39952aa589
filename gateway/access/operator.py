"""Who may read and change keys and the configuration: admins and, where no key is required, clients on this machine.

Without keys, every client may load and evict models. Keys and the configuration decide about more: the first key may
lock all others out, and an edit may open private networks to the server.
"""

from __future__ import annotations

from starlette.types import Scope

from contract.asgi.hosts import host_name
from contract.asgi.middleware import header
from contract.errors import Forbidden
from gateway.access.allowlist import is_loopback
from gateway.access.keys import require_admin
from gateway.access.origins import is_same_origin

_OF_PROXIES = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})


def require_operator(scope: Scope) -> None:
    """Raise Forbidden for a client that may not see or change keys and the configuration."""
    principal = scope.get("principal")
    if principal is not None:
        require_admin(principal)
    elif not _is_on_this_machine(scope):
        message = "No key is required here, so only clients on this machine may see and change keys and configuration."
        raise Forbidden(f"{message} Open http://localhost there, or make a key: `enginehouse keys new NAME --admin`.")


def _is_on_this_machine(scope: Scope) -> bool:
    """Whether a request comes from this machine, for one of its loopback names, without a proxy between."""
    client, host = scope.get("client"), header(scope, b"host") or ""
    if not client or not is_loopback(client[0]) or any(name in _OF_PROXIES for name, _ in scope["headers"]):
        return False
    origin = header(scope, b"origin")
    if origin is not None and not is_same_origin(origin, host):
        return False
    name = host_name(host)
    return name == "localhost" or is_loopback(name)
