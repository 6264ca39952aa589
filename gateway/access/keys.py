"""Identifies clients by their API key or JSON web token."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from contract.config import PLACEHOLDER_KEYS, Settings, hash_key
from contract.errors import Unauthorized
from gateway.access import tokens

HOW_TO_SEND = "Send a key as `Authorization: Bearer <key>` or `X-API-Key: <key>`."


@dataclass(frozen=True, slots=True)
class Principal:
    """An identified client. `rate_limit` is in the notation of the configuration, such as `60/minute`."""

    name: str
    rate_limit: str | None = None


class Keyring:
    """All valid keys, as hashes, and the secret that signs tokens. False if it has neither: then the API is open."""

    def __init__(self, settings: Settings) -> None:
        security = settings.security
        self._keys = [
            (bytes.fromhex(key.key_hash.removeprefix("sha256:")), Principal(key.name, key.rate_limit))
            for key in security.api_keys
        ]
        if settings.gateway.api_key not in PLACEHOLDER_KEYS:
            digest = hash_key(settings.gateway.api_key).removeprefix("sha256:")
            self._keys.append((bytes.fromhex(digest), Principal("gateway")))
        self._jwt_secret = security.jwt_secret

    def __bool__(self) -> bool:
        return bool(self._keys or self._jwt_secret)

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
            return Principal(f"jwt:{claims.get('sub', '')}")
        raise Unauthorized(f"This API key is unknown. {HOW_TO_SEND}")
