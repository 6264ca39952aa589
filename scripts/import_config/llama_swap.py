"""Configurations of llama-swap. Source: its docs/configuration.md."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from contract.config import ConfigError
from scripts.import_config import Note

_KNOWN = {"cmd", "aliases", "env", "ttl", "checkEndpoint", "useModelName", "macros"}
_MEANINGLESS = {"unlisted", "name", "description", "proxy"}
"""Settings that need no place here: they concern llama-swap's own page, or the port that Enginehouse chooses."""
_GLOBAL = {"models", "macros", "healthCheckTimeout", "startPort", "logLevel", "groups", "hooks"}


def is_one(document: Any) -> bool:
    """Whether a document is such a configuration: its `models` are a mapping of entries with commands."""
    models = document.get("models") if isinstance(document, dict) else None
    return isinstance(models, dict) and any(isinstance(entry, dict) and "cmd" in entry for entry in models.values())


def converted(document: Mapping[str, Any], note: Note) -> dict[str, Any]:
    """The entries for its models. Raises ConfigError for a macro that does not exist."""
    macros = _strings(document.get("macros"))
    for name in document.keys() - _GLOBAL:
        note(f"{name}: Enginehouse has no such setting")
    if document.get("groups"):
        note("groups: Enginehouse decides by memory which models run at the same time")
    if (document.get("hooks") or {}).get("on_startup"):
        note("hooks.on_startup: write `preload: true` in the entries that should start early")
    start_deadline = document.get("healthCheckTimeout")
    models = []
    for id_, entry in document["models"].items():
        if not isinstance(entry, dict) or not entry.get("cmd"):
            note(f"models.{id_}: it has no cmd")
            continue
        models.append(_model(str(id_), entry, macros, start_deadline, note))
    return {"models": models}


def _model(id_: str, entry: Mapping[str, Any], macros: dict[str, str], deadline: Any, note: Note) -> dict[str, Any]:
    for name in entry.keys() - _KNOWN - _MEANINGLESS:
        note(f"models.{id_}.{name}: Enginehouse has no such setting")
    macros = {**macros, **_strings(entry.get("macros")), "MODEL_ID": "${MODEL_ID}", "PORT": "${PORT}"}
    options: dict[str, Any] = {"cmd": _expanded(id_, _one_line(str(entry["cmd"])), macros)}
    if "${PORT}" not in options["cmd"]:
        note(f"models.{id_}.cmd: Enginehouse chooses the port; write ${{PORT}} where the command names one")
    match entry.get("checkEndpoint"):
        case str(path) if path.startswith("/"):
            options["ready"] = path
        case "none":
            note(f"models.{id_}.checkEndpoint: Enginehouse needs a path that answers 2xx; set `options.ready`")
    if entry.get("useModelName"):
        options["model_name"] = str(entry["useModelName"])
    tasks = ["embeddings"] if re.search(r"--embeddings?\b", options["cmd"]) else ["chat"]
    model: dict[str, Any] = {"id": id_, "engine": "command", "tasks": tasks}
    if entry.get("aliases"):
        model["aliases"] = [str(alias) for alias in entry["aliases"]]
    if isinstance(entry.get("ttl"), int) and entry["ttl"] >= 0:
        model["idle_timeout"] = entry["ttl"] or -1  # 0 means never there
    if isinstance(deadline, int) and deadline > 0:
        model["start_silence"] = deadline
    if entry.get("env"):
        lines = [_expanded(id_, str(line), macros) for line in entry["env"]]
        model["env"] = dict(line.split("=", 1) for line in lines if "=" in line)
    return {**model, "options": options}


def _one_line(command: str) -> str:
    """A command in one line, without the comments and the trailing backslashes that llama-swap allows."""
    lines = [line.strip() for line in command.splitlines()]
    return " ".join(line.removesuffix("\\").strip() for line in lines if line and not line.startswith("#"))


def _expanded(id_: str, text: str, macros: Mapping[str, str], depth: int = 0) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in {"PORT", "MODEL_ID"}:
            return match[0]
        if (variable := name.removeprefix("env.")) != name:
            if variable not in os.environ:
                raise ConfigError(f"models.{id_}: set the environment variable {variable}, which it uses")
            return os.environ[variable]
        if name not in macros or depth > 20:
            raise ConfigError(f"models.{id_}: there is no macro {name!r}")
        return _expanded(id_, _one_line(macros[name]), macros, depth + 1)

    return re.sub(r"\$\{([\w.-]+)\}", value, text)


def _strings(macros: Any) -> dict[str, str]:
    """Macros by name, written as a mapping or as a list of mappings."""
    parts: Iterator[Any] = iter(macros if isinstance(macros, list) else [macros or {}])
    return {str(name): str(value) for part in parts if isinstance(part, dict) for name, value in part.items()}
