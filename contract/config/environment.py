"""Environment variables that override the configuration file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.config.errors import ConfigError
from contract.config.fields import split
from contract.config.security import hash_key
from contract.credentials import check_credential

ENVIRONMENT: dict[str, tuple[str, str]] = {
    "PORT": ("gateway", "port"),
    "GATEWAY_PORT": ("gateway", "port"),
    "GATEWAY_HOST": ("gateway", "host"),
    "WORKER_MANAGER_HOST": ("gateway", "manager_host"),
    "GATEWAY_API_KEY": ("gateway", "api_key"),
    "CORS_ORIGINS": ("gateway", "cors_origins"),
    "GATEWAY_HOSTS": ("gateway", "hosts"),
    "DEFAULT_INFERENCE_STEPS": ("gateway", "infer_steps"),
    "DEFAULT_GUIDANCE_SCALE": ("gateway", "infer_guidance"),
    "GATEWAY_ALLOW_PRIVATE": ("gateway", "allow_private"),
    "MANAGER_PORT": ("manager", "port"),
    "MANAGER_LISTEN": ("manager", "listen"),
    "MANAGER_TOKEN": ("manager", "token"),
    "IDLE_TIMEOUT": ("manager", "idle_timeout"),
    "MODEL_DIRS": ("manager", "model_dirs"),
    "MODEL_SCAN_INTERVAL": ("manager", "model_scan_interval"),
    "AUTO_DOWNLOAD": ("manager", "auto_download"),
    "SECRET_KEY": ("security", "jwt_secret"),
}
"""Environment variables and the setting that each overrides; a later one wins (GATEWAY_PORT over PORT)."""


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The state folder: measured memory footprints, logs, tokens, child processes."""
    return Path(environ.get("ENGINEHOUSE_HOME") or "data").resolve()


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The path of the configuration file, from the environment or the default."""
    return Path(environ.get("ENGINEHOUSE_CONFIG") or "config.yaml")


def override(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put the variables' values into the content of a configuration file. Raises ConfigError for an unusable key."""
    for name, (section, key) in ENVIRONMENT.items():
        if environ.get(name, "") != "":
            data[section] = {**(data.get(section) or {}), key: environ[name]}
    if environ.get("API_KEYS"):
        security = data.get("security") or {}
        keys = [_entry(number, key) for number, key in enumerate(split(environ["API_KEYS"]), start=1)]
        data["security"] = {**security, "api_keys": [*(security.get("api_keys") or []), *keys]}


def _entry(number: int, key: str) -> dict[str, str]:
    try:
        check_credential(key)
    except ValueError as error:
        raise ConfigError(f"API_KEYS: key {number}: {error}") from None
    return {"name": f"env-{number}", "key_hash": hash_key(key)}
