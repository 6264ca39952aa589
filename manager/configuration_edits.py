"""Edits of the configuration file by the API: keys come and go, and its text is checked, compared and replaced.

What lets an entry run programs or code of its own is for the file alone, as when models are added: a key with the scope
`admin` must not reach further than that.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contract import config
from contract.config import ENVIRONMENT, ConfigError, Settings
from contract.config.models import HOST_ONLY, HOST_ONLY_ENGINES, HOST_ONLY_OPTIONS
from contract.configuration import ConfigurationCheck, ConfigurationPage, SavedConfiguration
from contract.configuration_text import (
    ConfigurationProblem,
    UnusableText,
    etag_of,
    hidden,
    line_of,
    problems_of,
    revealed,
    without_secrets,
)
from contract.errors import BadRequest, ConfigurationChanged, KeyConflict, NotFound
from contract.yaml_file import read_yaml
from contract.yaml_lists import ListPath, with_entry, without_entry
from manager.configuration import Configuration, default_text
from manager.runtime import Runtime

KEYS = ListPath(("security", "api_keys"), "name")
_COMMAND_FIELDS = ("engine", "source", "options", "defaults")


@dataclass(frozen=True, slots=True)
class ConfigurationEdits:
    """The edits of one manager. `settings` returns those in force."""

    configuration: Configuration
    settings: Callable[[], Settings]

    @classmethod
    def of(cls, runtime: Runtime) -> ConfigurationEdits:
        """Those of the manager's configuration."""
        return cls(runtime.configuration, lambda: runtime.models.settings)

    def page(self) -> ConfigurationPage:
        """The file and the settings in force, without secrets. Raises BadRequest if it cannot be shown."""
        status, text = self.configuration.status(), _file_text()
        try:
            shown = hidden(default_text() if text is None else text)
        except UnusableText as error:
            if text is not None and any(problem.line for problem in error.problems):
                shown = ""  # it is no YAML, so that secrets in it cannot be found
            else:
                raise _invalid(error.problems) from None
        return ConfigurationPage(
            path=status.path,
            exists=text is not None,
            text=shown,
            etag=etag_of(text or ""),
            settings=without_secrets(self.settings().model_dump(mode="json")),
            overrides=_overrides(),
            error=status.error,
            needs_restart=status.needs_restart,
        )

    async def check(self, text: str) -> ConfigurationCheck:
        """What saving the text would do."""
        old = _file_text()
        before = default_text() if old is None else old
        try:
            new = revealed(text, before)
            check_host_only(new, before)
            settings = await self.configuration.try_out(lambda _: new)
        except UnusableText as error:
            return ConfigurationCheck(valid=False, problems=error.problems, diff=_diff(before, text))
        except ConfigError as error:
            problems = problems_of(error, text)
            return ConfigurationCheck(valid=False, problems=problems, diff=_diff(before, text))
        waiting = self.configuration.waiting_for_restart(settings)
        return ConfigurationCheck(valid=True, problems=[], diff=_diff(before, text), needs_restart=waiting)

    async def save(self, text: str, etag: str) -> SavedConfiguration:
        """Replace the file, whole or not at all. Raises ConfigurationChanged and BadRequest."""
        saved: list[str] = []

        def change(old: str) -> str:
            if etag_of(_file_text() or "") != etag:
                message = "The configuration has changed since you read it. Compare, and save again."
                raise ConfigurationChanged(message, details={"etag": etag_of(_file_text() or "")})
            new = revealed(text, old)
            check_host_only(new, old)
            saved.append(new)
            return new

        try:
            changed = await self.configuration.change(change)
        except UnusableText as error:
            raise _invalid(error.problems) from None
        except ConfigError as error:
            raise _invalid(problems_of(error, text)) from None
        waiting = self.configuration.status().needs_restart
        return SavedConfiguration(etag=etag_of(saved[-1]), changed=changed, needs_restart=waiting)

    async def put_key(self, entry: Mapping[str, Any], *, is_new: bool) -> None:
        """Add a key's entry, or replace the parts of it that are given (None: remove). Raises KeyConflict, NotFound."""
        name = str(entry["name"])

        def change(text: str) -> str:
            known = _keys_in(text).get(name)
            if is_new and known is not None:
                raise KeyConflict(f"There is a key {name!r} already. Revoke it first, or choose another name.")
            if not is_new and known is None:
                raise _no_key(name)
            whole = {key: value for key, value in {**(known or {}), **entry}.items() if value not in (None, [])}
            shorter = text if known is None else without_entry(text, KEYS, name)
            return with_entry(shorter or text, KEYS, whole, one_line=True)

        await self._change(change)

    async def remove_key(self, name: str) -> None:
        """Remove a key's entry. Raises NotFound."""

        def change(text: str) -> str:
            shorter = without_entry(text, KEYS, name)
            if shorter is None:
                raise _no_key(name)
            return shorter

        await self._change(change)

    async def _change(self, change: Callable[[str], str]) -> None:
        try:
            await self.configuration.change(change)
        except ConfigError as error:
            raise _invalid([ConfigurationProblem(message=str(error))]) from None


def check_host_only(new: str, old: str) -> None:
    """Raise UnusableText for a change of what lets an entry run programs or code of its own."""
    before, problems = _entries(old), []
    for number, entry in enumerate(_list_of_entries(new)):
        known = before.get(str(entry.get("id")), {})
        for key in _changed_host_only(entry, known):
            message = f"`{key}` lets an entry run programs or code of its own: only the file itself may change it."
            place = ("models", number, key.partition(".")[0])
            problems.append(
                ConfigurationProblem(message=message, line=line_of(new, place), key=".".join(map(str, place)))
            )
    if problems:
        raise UnusableText(problems)


def _changed_host_only(entry: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    keys = [key for key in sorted(HOST_ONLY) if entry.get(key) != known.get(key)]
    if {entry.get("engine"), known.get("engine")} & HOST_ONLY_ENGINES and entry.get("engine") in HOST_ONLY_ENGINES:
        keys += [key for key in _COMMAND_FIELDS if entry.get(key) != known.get(key)]
    options, old = _mapping(entry.get("options")), _mapping(known.get("options"))
    keys += [f"options.{name}" for name in sorted(HOST_ONLY_OPTIONS) if options.get(name) != old.get(name)]
    return keys


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list_of_entries(text: str) -> list[Mapping[str, Any]]:
    document = _mapping(read_yaml(text))
    models = document.get("models")
    return [_mapping(entry) for entry in models] if isinstance(models, list) else []


def _entries(text: str) -> dict[str, Mapping[str, Any]]:
    return {str(entry.get("id")): entry for entry in _list_of_entries(text)}


def _keys_in(text: str) -> dict[str, dict[str, Any]]:
    keys = _mapping(_mapping(read_yaml(text)).get("security")).get("api_keys")
    return {str(_mapping(key).get("name")): dict(_mapping(key)) for key in keys or []}


def _file_text() -> str | None:
    path = config.default_path()
    return path.read_text(encoding="utf-8") if path.exists() else None


def _overrides() -> dict[str, str]:
    """The keys that environment variables, or the `.env` beside the file, override."""
    given = config.variables()
    found = {f"{section}.{key}": name for name, (section, key) in ENVIRONMENT.items() if given.get(name)}
    return found | ({"security.api_keys": "API_KEYS"} if given.get("API_KEYS") else {})


def _diff(old: str, new: str) -> str:
    try:
        old = hidden(old)
    except UnusableText:
        return ""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "config.yaml", "config.yaml, edited", lineterm="")
    return "\n".join(lines)


def _invalid(problems: list[ConfigurationProblem]) -> BadRequest:
    where = f" (line {problems[0].line})" if problems[0].line else ""
    details = {"problems": [problem.model_dump() for problem in problems]}
    return BadRequest(f"The configuration was not changed: {problems[0].message}{where}", details=details)


def _no_key(name: str) -> NotFound:
    return NotFound(f"config.yaml has no key {name[:200]!r}; GET /v1/system/keys lists them.")
