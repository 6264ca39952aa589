"""Who is asking: API keys, JSON web tokens, and the addresses that may ask at all."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from contract.asgi.middleware import header
from contract.config import PLACEHOLDER_KEYS, ConfigError, Settings, hash_key
from contract.errors import Forbidden, Unauthorized

OPEN_PATHS = frozenset(
    {"/", "/v1", "/health", "/healthz", "/v1/health", "/ready", "/docs", "/redoc", "/openapi.json"}
)  # fmt: skip
"""What anyone may see: what this is, whether it lives, and how it is used."""

_HOW = "Send a key as `Authorization: Bearer <key>` or `X-API-Key: <key>`."


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and how often they may."""

    name: str
    rate_limit: str | None = None


class Keyring:
    """The keys that open the house, as hashes alone; with none, everybody may ask."""

    def __init__(self, settings: Settings) -> None:
        security = settings.security
        self._keys = [
            (bytes.fromhex(key.key_hash[7:]), Principal(key.name, key.rate_limit)) for key in security.api_keys
        ]
        if settings.gateway.api_key not in PLACEHOLDER_KEYS:
            digest = hash_key(settings.gateway.api_key).removeprefix("sha256:")
            self._keys.append((bytes.fromhex(digest), Principal("gateway")))
        self._jwt_secret = security.jwt_secret

    def __bool__(self) -> bool:
        return bool(self._keys or self._jwt_secret)

    @property
    def principals(self) -> list[Principal]:
        """The holders of keys."""
        return [principal for _, principal in self._keys]

    def identify(self, key: str) -> Principal:
        """Whose key or token this is. Raises Unauthorized."""
        digest = hashlib.sha256(key.encode("latin-1")).digest()
        found = None
        # Every key is compared, each in constant time: how long it takes tells nothing about them.
        for known, principal in self._keys:
            if hmac.compare_digest(known, digest):
                found = principal
        if found:
            return found
        if self._jwt_secret and key.count(".") == 2:
            return self._bearer_of(key)
        raise Unauthorized(f"This API key is not known. {_HOW}")

    def _bearer_of(self, token: str) -> Principal:
        import jwt

        try:
            # Audiences are not used here; a token made for several services stays valid.
            options = {"require": ["exp"], "verify_aud": False}
            claims = jwt.decode(token, self._jwt_secret, algorithms=["HS256"], options=options)  # type: ignore[arg-type]
        except jwt.ExpiredSignatureError:
            raise Unauthorized("This token has expired. Get a new one.") from None
        except jwt.PyJWTError as error:
            raise Unauthorized(f"This token is not valid: {error}. It must be HS256 and carry `exp`.") from None
        return Principal(f"jwt:{claims.get('sub', '')}")


class Allowlist:
    """Networks from which the house may be asked; without any, all."""

    def __init__(self, networks: Iterable[str]) -> None:
        try:
            self._networks = tuple(ipaddress.ip_network(network, strict=False) for network in networks)
        except ValueError as error:
            raise ConfigError(
                f"security.ip_allowlist: {error}; write addresses or networks like 192.168.1.0/24"
            ) from None
        self.admits = lru_cache(1024)(self._admits)

    def _admits(self, host: str) -> bool:
        if not self._networks:
            return True
        address = _address(host)
        return address is not None and any(address in network for network in self._networks)


@lru_cache(1024)
def is_loopback(host: str) -> bool:
    """Whether a client's address is this machine's own."""
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Auth:
    """Middleware that lets a request in, with its `principal` in the scope, or raises Unauthorized or Forbidden."""

    def __init__(self, app: ASGIApp, settings: Settings, keyring: Keyring) -> None:
        self.app = app
        self._keyring = keyring
        self._allowlist = Allowlist(settings.security.ip_allowlist)
        self._trust_localhost = settings.security.allow_localhost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            scope["principal"] = self._admit(scope)
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> Principal | None:
        host = scope["client"][0] if scope.get("client") else ""
        if self._trust_localhost and is_loopback(host):
            return None
        if not self._allowlist.admits(host):
            raise Forbidden(
                f"Requests from {host or 'here'} are not allowed. Add the address to security.ip_allowlist."
            )
        if not self._keyring:
            return None
        key = _presented(scope)
        if key is None:
            raise Unauthorized(f"This needs an API key. {_HOW}")
        return self._keyring.identify(key)


def _presented(scope: Scope) -> str | None:
    authorization = header(scope, b"authorization")
    if authorization and authorization[:7].lower() == "bearer ":
        return authorization[7:].strip()
    return header(scope, b"x-api-key")
