"""`enginehouse keys`: API keys in this machine's configuration, of which only hashes are stored."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from command.places import Places
from command.session import CommandError, Session
from contract import config
from contract.config import ConfigError, hash_key
from contract.config.security import ApiKey
from contract.config_file import changing
from contract.yaml_lists import ListPath, UneditableYaml, with_entry, without_entry

KEYS = ListPath(("security", "api_keys"), "name")

SOON = "A gateway that runs notices it within seconds."
KeyName = Annotated[str, typer.Argument(metavar="NAME", help="What the key is for, such as my-app")]


def new(
    context: typer.Context,
    name: KeyName,
    admin: Annotated[bool, typer.Option("--admin", help="It may also evict models, read logs and reload")] = False,
    rate_limit: Annotated[str | None, typer.Option(help="Such as 60/minute")] = None,
) -> None:
    """Make a key and print it. It cannot be shown again: only its hash is stored."""
    places = Places.find()
    if name in {key.name for key in _configured(places)}:
        raise CommandError(f"There is a key {name!r} already. `enginehouse keys revoke {name}` removes it.")
    if rate_limit:
        _check_rate_limit(name, rate_limit)
    key = secrets.token_urlsafe(32)
    entry: dict[str, Any] = {"name": name, "key_hash": hash_key(key)}
    entry |= ({"rate_limit": rate_limit} if rate_limit else {}) | ({"scopes": ["admin"]} if admin else {})
    _edit(places.config, lambda text: with_entry(text, KEYS, entry, one_line=True))
    said = f"{key}\nSend it as `Authorization: Bearer KEY`, or set ENGINEHOUSE_KEY. It cannot be shown again. {SOON}"
    Session.of(context).show({"name": name, "key": key, "config": str(places.config)}, said)


def list_keys(context: typer.Context) -> None:
    """List the keys by name."""
    keys = _configured(Places.find())
    table = Table("name", "rate limit", "scopes", box=None, pad_edge=False)
    for key in keys:
        table.add_row(key.name, key.rate_limit or "", ", ".join(key.scopes))
    rows = [key.model_dump(exclude={"key_hash"}) for key in keys]
    Session.of(context).show(rows, table if keys else "There are no keys. `enginehouse keys new NAME` makes one.")


def revoke(context: typer.Context, name: KeyName) -> None:
    """Remove a key."""
    places = Places.find()
    _edit(places.config, lambda text: _without(text, name))
    Session.of(context).show({"revoked": name}, f"The key {name} is removed. {SOON}")


def _check_rate_limit(name: str, rate_limit: str) -> None:
    from gateway.access.rate_limits import windows_of  # here, because it imports much

    try:
        windows_of(name, rate_limit)
    except ConfigError as error:
        raise CommandError(str(error)) from None


def _configured(places: Places) -> tuple[ApiKey, ...]:
    if not places.config.exists():
        raise CommandError(f"There is no configuration {places.config}. `enginehouse serve` writes one.")
    try:
        return config.load(places.config, {}).security.api_keys
    except ConfigError as error:
        raise CommandError(str(error)) from None


def _without(text: str, name: str) -> str:
    shorter = without_entry(text, KEYS, name)
    if shorter is None:
        raise CommandError(f"The configuration has no key {name!r}. `enginehouse keys list` shows them.")
    return shorter


def _edit(path: Path, change: Callable[[str], str]) -> None:
    """Change the file, whole or not at all, and only to a valid configuration."""
    try:
        with changing(path, change) as prepared:
            prepared.apply()
    except (ConfigError, UneditableYaml) as error:
        raise CommandError(f"The configuration was not changed: {error}") from None
