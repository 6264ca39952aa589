"""Keys and the configuration of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from client.call import ApiCall, body_of, known_fields

_KEYS, _CONFIGURATION = "/v1/system/keys", "/v1/system/configuration"


@dataclass(frozen=True, slots=True)
class ServerKey:
    """An API key by its name. `key` is there only in the answer that made it. `source`: where it can be changed."""

    name: str
    rate_limit: str | None = None
    scopes: list[str] = field(default_factory=list)
    source: str = "configuration"
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ServerConfiguration:
    """The configuration file as `text`, in which secrets are hidden; `settings` are those in force."""

    path: str
    text: str
    etag: str
    exists: bool = True
    error: str | None = None
    needs_restart: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class CheckedConfiguration:
    """What saving a text would do. Problems have a `message` and, if it is known, a `line`."""

    valid: bool
    problems: list[dict[str, Any]]
    diff: str
    needs_restart: list[str] = field(default_factory=list)


def keys() -> ApiCall[list[ServerKey]]:
    """The API keys, by name."""
    return ApiCall("GET", _KEYS, lambda document: [known_fields(ServerKey, row) for row in document["keys"]])


def make_key(name: str, *, rate_limit: str | None = None, admin: bool = False) -> ApiCall[ServerKey]:
    """Make an API key. Its `key` cannot be read again."""
    body = body_of(name=name, rate_limit=rate_limit, scopes=["admin"] if admin else [])
    return ApiCall("POST", _KEYS, lambda document: known_fields(ServerKey, document), body)


def change_key(name: str, **changes: Any) -> ApiCall[ServerKey]:
    """Change a key's `rate_limit` (None: no limit) or its `scopes`."""
    path = f"{_KEYS}/{quote(name, safe='')}"
    return ApiCall("PATCH", path, lambda document: known_fields(ServerKey, document), changes)


def revoke_key(name: str) -> ApiCall[str]:
    """Revoke an API key. Returns its name."""
    return ApiCall("DELETE", f"{_KEYS}/{quote(name, safe='')}", lambda document: str(document["revoked"]))


def configuration() -> ApiCall[ServerConfiguration]:
    """The configuration file, and the settings in force."""
    return ApiCall("GET", _CONFIGURATION, lambda document: known_fields(ServerConfiguration, document))


def check_configuration(text: str) -> ApiCall[CheckedConfiguration]:
    """What saving a text as the configuration would do."""
    path = f"{_CONFIGURATION}/check"
    return ApiCall("POST", path, lambda document: known_fields(CheckedConfiguration, document), {"text": text})


def save_configuration(text: str, etag: str) -> ApiCall[list[str]]:
    """Replace the configuration that has this etag. Returns the ids of the models that changed."""
    headers = {"if-match": f'"{etag}"'}
    return ApiCall("PUT", _CONFIGURATION, lambda document: list(document["changed"]), {"text": text}, headers=headers)
