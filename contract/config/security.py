"""The section `security`."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from contract.config.fields import Frozen, NameList
from contract.credentials import Credential


class ApiKey(Frozen):
    """An API key of a client, stored as its SHA-256. With the scope `admin` it may evict models and reload."""

    name: str
    key_hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    rate_limit: str | None = None
    scopes: tuple[Literal["admin"], ...] = ()


class SecuritySettings(Frozen):
    """Further keys, tokens and addresses that may use the API, besides `gateway.api_key`."""

    api_keys: tuple[ApiKey, ...] = ()
    jwt_secret: Credential = ""
    ip_allowlist: NameList = ()
    allow_localhost: bool = False


def hash_key(key: str) -> str:
    """The stored form of an API key: `sha256:` and its hex digest."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()
