"""The configuration as the API shows and changes it."""

from __future__ import annotations

from typing import Any

from contract.configuration_text import ConfigurationProblem
from contract.lazy_model import LazyModel


class ConfigurationPage(LazyModel):
    """The response of `GET /v1/system/configuration`. Secrets are hidden in `text`, the file, and in `settings`.

    `settings` are in force: the file's and, before them, those of environment variables (`overrides`: a variable's name
    by key). Without a file (`exists`), `text` is what a new one begins with. `error`: why the file is not in force.
    `needs_restart`: changed keys that are read at a start only. `etag` identifies the text.
    """

    path: str
    exists: bool
    text: str
    etag: str
    settings: dict[str, Any]
    overrides: dict[str, str]
    error: str | None = None
    needs_restart: list[str] = []


class ConfigurationCheck(LazyModel):
    """What saving a text would do: the problems that prevent it, and the `diff` to the file, secrets hidden."""

    valid: bool
    problems: list[ConfigurationProblem]
    diff: str
    needs_restart: list[str] = []


class SavedConfiguration(LazyModel):
    """What saving a text has done: the ids of models that changed, and keys that take effect with the next start."""

    etag: str
    changed: list[str]
    needs_restart: list[str] = []


class KeyDescription(LazyModel):
    """An API key. `source`: `configuration` for keys that can be changed here, else the variable that sets it."""

    name: str
    rate_limit: str | None = None
    scopes: list[str] = []
    source: str = "configuration"


class KeyList(LazyModel):
    """The response of `GET /v1/system/keys`. `required`: requests need a key. `tokens`: web tokens are accepted."""

    keys: list[KeyDescription]
    required: bool
    tokens: bool = False


class NewKey(KeyDescription):
    """The response of `POST /v1/system/keys`: `key` is shown this once, since only its hash is stored."""

    key: str
