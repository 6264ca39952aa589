"""Reads the configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values
from pydantic import ValidationError

from contract.config.environment import default_path, override
from contract.config.errors import ConfigError, explain, kind_of
from contract.config.settings import Settings
from contract.default_config import MODELS
from contract.yaml_file import explain as explain_yaml
from contract.yaml_file import read_yaml


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from `path`, `.env` and the environment.

    A `source` or `python` that begins with `./` or `../` is relative to the file. If the default file does not exist
    and no other was named, the models are those of `contract.default_config`. Raises ConfigError.
    """
    required = path is not None or bool(environ.get("ENGINEHOUSE_CONFIG"))
    path = path or default_path(environ)
    data = _read(path) if required or path.exists() else {"models": MODELS}
    _resolve_paths(data, path.parent)
    override(data, variables(path, environ))
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        problems = [(problem["loc"], explain(problem, Settings, data)) for problem in error.errors()]
        raise ConfigError(f"{path}: " + "; ".join(message for _, message in problems), problems) from None


def variables(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment's variables, which win over those of the `.env` beside the file."""
    path = path or default_path(environ)
    dotenv = {name: value for name, value in dotenv_values(path.parent / ".env").items() if value is not None}
    return {**dotenv, **environ}


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ConfigError(f"{path} does not exist; create it, or set ENGINEHOUSE_CONFIG to another file")
    try:
        data = read_yaml(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {explain_yaml(error)}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path} is not UTF-8 text, as line {line} shows; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(data, dict):
        message = f"{path} must contain sections such as `gateway:` and `models:`, not {kind_of(data)}"
        raise ConfigError(message)
    return {key: value for key, value in data.items() if value is not None}


def _resolve_paths(data: dict[str, Any], folder: Path) -> None:
    """Make the models' relative paths absolute, so that they do not depend on the working directory."""
    models = data.get("models")
    for entry in models if isinstance(models, list) else ():
        for key in ("source", "python") if isinstance(entry, dict) else ():
            path = entry.get(key)
            if isinstance(path, str) and path.startswith(("./", "../")):
                # Not Path.resolve(): a virtual environment's `bin/python` is a link to an interpreter outside of it.
                entry[key] = os.path.abspath(folder / path)
