"""Identifies clients by their API key or JSON web token."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from contract.config import Settings, hash_key
from contract.credentials import PLACEHOLDER_KEYS
from contract.errors import Forbidden, Unauthorized
from gateway.access import tokens

_KEY = "key:"
_BEARER = "jwt:"
HOW_TO_SEND = "Send a key as `Authorization: Bearer <key>` or `X-API-Key: <key>`."

NO_KEY_LEFT = "Add one to the configuration, or restart the gateway if it is to require none."
"""What to do when the last key was removed while the gateway ran: the API does not become open by that."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An identified client. `rate_limit` is in the notation of the configuration, such as `60/minute`."""

    name: str
    rate_limit: str | None = None
    admin: bool = False


class Keyring:
    """All valid keys, as hashes, and the secret that signs tokens. False if it never had any: the API is open."""

    def __init__(self, settings: Settings) -> None:
        security = settings.security
        self._keys = [
            (
                _digest(key.key_hash),
                Principal(key.name, key.rate_limit, "admin" in key.scopes),
            )
            for key in security.api_keys
        ]
        if settings.gateway.api_key not in PLACEHOLDER_KEYS:
            self._keys.append((_digest(hash_key(settings.gateway.api_key)), Principal("gateway", admin=True)))
        self._jwt_secret = security.jwt_secret
        self._is_required = not self.is_empty

    def replace(self, other: Keyring) -> None:
        """Know the keys of another keyring instead. Without any, a key is required as before, so that none is valid."""
        self._keys, self._jwt_secret = other._keys, other._jwt_secret
        self._is_required |= other._is_required

    @property
    def is_empty(self) -> bool:
        """Whether no key or token is valid."""
        return not (self._keys or self._jwt_secret)

    @property
    def accepts_tokens(self) -> bool:
        """Whether JSON web tokens are valid."""
        return bool(self._jwt_secret)

    def __bool__(self) -> bool:
        return self._is_required

    def admits(self, owner: str) -> bool:
        """Whether an `owner_of` may still use the API; always, if it was stored without a key."""
        if self.is_empty or not owner:
            return True
        name = owner.removeprefix(_KEY)
        is_token = bool(self._jwt_secret) and name.startswith(_BEARER)
        return is_token or any(principal.name == name for principal in self.principals)

    @property
    def principals(self) -> list[Principal]:
        """The owners of keys."""
        return [principal for _, principal in self._keys]

    def identify(self, key: str) -> Principal:
        """The owner of a key or token. Raises Unauthorized."""
        digest = hashlib.sha256(key.encode("latin-1")).digest()
        owner = None
        # Compares all keys, each in constant time, so that the duration reveals nothing about them.
        for known_digest, principal in self._keys:
            if hmac.compare_digest(known_digest, digest):
                owner = principal
        if owner:
            return owner
        if self._jwt_secret and key.count(".") == 2:
            claims = tokens.verify(key, self._jwt_secret)
            return Principal(f"{_BEARER}{claims.get('sub', '')}", admin="admin" in str(claims.get("scope", "")).split())
        if self.is_empty:
            raise Unauthorized(f"No key is valid. {NO_KEY_LEFT}")
        raise Unauthorized(f"This API key is unknown. {HOW_TO_SEND}")


def owner_of(principal: Principal | None) -> str:
    """The owner under which a client's jobs are stored: its key by name, or empty without one."""
    return f"{_KEY}{principal.name}" if principal else ""


def visible_to(principal: Principal | None) -> str | None:
    """Whose things a client may see: its own. None: those of all, for admins and where no key is required."""
    return None if principal is None or principal.admin else owner_of(principal)


def _digest(key_hash: str) -> bytes:
    return bytes.fromhex(key_hash.removeprefix("sha256:"))


def require_admin(principal: Principal | None) -> None:
    """Raise Forbidden for a client that may run models but not stop them. Without any keys, every client may."""
    if principal and not principal.admin:
        message = (
            f"The key {principal.name} may not change which models there are, evict or pin them, read logs or reload."
        )
        raise Forbidden(f"{message} Use GATEWAY_API_KEY, or add `scopes: [admin]` to its entry in security.api_keys.")
