"""Reads the one configuration file into frozen settings, and says clearly what is wrong with it.

Environment variables win over the file, the file over the defaults here. Only the manager uses `models`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from contract.default_config import MODELS

PLACEHOLDER_KEYS = frozenset({"", "change-me"})
"""Values of `api_key` that mean that no key is asked for."""


class ConfigError(Exception):
    """The configuration is wrong; the message names the key and what to write instead."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _split(value: Any) -> Any:
    """Lists may come from the environment as text with commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


NameList = Annotated[tuple[str, ...], BeforeValidator(_split)]


class GatewaySettings(Frozen):
    """Where clients come in."""

    host: str = "0.0.0.0"  # noqa: S104 - the gateway is the public end of the house
    port: int = Field(8000, ge=0, le=65535)
    manager_host: str = "127.0.0.1"
    api_key: str = ""
    cors_origins: NameList = ()
    max_body_mb: float = Field(64, gt=0)


class ManagerSettings(Frozen):
    """Who decides which worker runs; `idle_timeout` is in seconds, -1 for never."""

    listen: NameList = ("127.0.0.1",)
    port: int = Field(8100, ge=0, le=65535)
    token: str = ""
    idle_timeout: float = Field(300, ge=-1)
    standby: int = Field(1, ge=0)


class MemorySettings(Frozen):
    """What may be handed out, in GiB."""

    safety_margin_gb: float = Field(2, ge=0)
    max_gpu_memory_gb: float | None = Field(None, gt=0)
    max_ram_gb: float | None = Field(None, gt=0)


class ResourceSettings(Frozen):
    """How much may run and wait at once; times in seconds."""

    max_concurrent_requests: int = Field(64, ge=1)
    max_wait: float = Field(600, gt=0)
    swap_after: float = Field(5, ge=0)


class ApiKey(Frozen):
    """A client's key: only its SHA-256 is kept."""

    name: str
    key_hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    rate_limit: str | None = None


class SecuritySettings(Frozen):
    """Who may ask besides the holder of `gateway.api_key`."""

    api_keys: tuple[ApiKey, ...] = ()
    jwt_secret: str = ""
    ip_allowlist: NameList = ()
    allow_localhost: bool = False


class ModelSpec(Frozen):
    """One entry of `models`: what to run, where, and for how long. Times in seconds, memory in GiB."""

    id: str = Field(min_length=1, pattern=r"^[^\s#]+$")
    engine: str
    source: str = ""
    revision: str | None = None
    tasks: NameList = ()
    default: NameList = ()
    aliases: NameList = ()
    memory_gb: float | None = Field(None, gt=0)
    device: str = Field("auto", pattern=r"^(auto|cuda(:\d+)?|mps|cpu|mlx)$")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    replicas: Annotated[int, Field(ge=1)] | Literal["per-gpu"] = 1
    idle_timeout: float | None = Field(None, ge=-1)
    start_silence: float = Field(120, gt=0)
    start_deadline: float = Field(3600, gt=0)
    stop_grace: float = Field(10, ge=0)
    max_queue: int = Field(64, ge=1)
    pinned: bool = False
    preload: bool = False
    python: str | None = None
    env: dict[str, str] = {}
    trust_remote_code: bool = False
    defaults: dict[str, Any] = {}
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _needs_source(self) -> ModelSpec:
        if not self.source and self.engine not in {"command", "fake", "rapidocr"}:
            raise ValueError(f"model {self.id}: `source` is missing; give a hub id, a folder or a file")
        return self


class Settings(Frozen):
    """The whole file."""

    gateway: GatewaySettings = GatewaySettings()
    manager: ManagerSettings = ManagerSettings()
    memory: MemorySettings = MemorySettings()
    resources: ResourceSettings = ResourceSettings()
    security: SecuritySettings = SecuritySettings()
    models: tuple[ModelSpec, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Settings:
        names = Counter(name for model in self.models for name in (model.id, *model.aliases))
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"models: the name {twice[0]!r} is used twice; ids and aliases must differ")
        defaults = Counter(task for model in self.models for task in model.default)
        if twice := [task for task, count in defaults.items() if count > 1]:
            raise ValueError(f"models: two models are the default for {twice[0]!r}; keep one")
        return self


ENVIRONMENT: dict[str, tuple[str, str]] = {
    "PORT": ("gateway", "port"),
    "GATEWAY_PORT": ("gateway", "port"),
    "GATEWAY_HOST": ("gateway", "host"),
    "WORKER_MANAGER_HOST": ("gateway", "manager_host"),
    "GATEWAY_API_KEY": ("gateway", "api_key"),
    "CORS_ORIGINS": ("gateway", "cors_origins"),
    "MANAGER_PORT": ("manager", "port"),
    "MANAGER_LISTEN": ("manager", "listen"),
    "MANAGER_TOKEN": ("manager", "token"),
    "IDLE_TIMEOUT": ("manager", "idle_timeout"),
    "SECRET_KEY": ("security", "jwt_secret"),
}
"""Environment variables and the setting that each replaces; a later one wins (GATEWAY_PORT over PORT)."""


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for state: footprints, logs, tokens, identities of children."""
    return Path(environ.get("ENGINEHOUSE_HOME") or "data").resolve()


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file that the environment names."""
    return Path(environ.get("ENGINEHOUSE_CONFIG") or "config.yaml")


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from `path`, `.env` and the environment.

    Sources and interpreters that begin with `./` or `../` are relative to the file. Without a file, and unless one was
    asked for, the models are those of `contract.default_config`. Raises ConfigError with a sentence that names the key.
    """
    asked_for = path is not None or bool(environ.get("ENGINEHOUSE_CONFIG"))
    path = path or default_path(environ)
    data = _read(path) if asked_for or path.exists() else {"models": MODELS}
    _anchor(data, path.parent)
    dotenv = {k: v for k, v in dotenv_values(path.parent / ".env").items() if v is not None}
    _override(data, {**dotenv, **environ})
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(explain(e, Settings) for e in error.errors())) from None


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ConfigError(f"{path} does not exist; create it, or have ENGINEHOUSE_CONFIG name another file")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold sections such as `gateway:` and `models:`, not a {type(data).__name__}")
    return {key: value for key, value in data.items() if value is not None}


def _anchor(data: dict[str, Any], folder: Path) -> None:
    """Make paths such as `./weights` mean the same wherever a program was started."""
    models = data.get("models")
    for entry in models if isinstance(models, list) else ():
        for key in ("source", "python") if isinstance(entry, dict) else ():
            path = entry.get(key)
            if isinstance(path, str) and path.startswith(("./", "../")):
                # An environment's `bin/python` leads to an interpreter outside of it: links are not followed.
                entry[key] = os.path.abspath(folder / path)


def _override(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name, (section, key) in ENVIRONMENT.items():
        if environ.get(name, "") != "":
            data[section] = {**(data.get(section) or {}), key: environ[name]}
    if environ.get("API_KEYS"):
        security = data.get("security") or {}
        plain = enumerate(_split(environ["API_KEYS"]), start=1)
        keys = [{"name": f"env-{n}", "key_hash": hash_key(key)} for n, key in plain]
        data["security"] = {**security, "api_keys": [*(security.get("api_keys") or []), *keys]}


def hash_key(key: str) -> str:
    """The form in which an API key is stored: `sha256:` and its hex digest."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def explain(error: Any, model: type[BaseModel]) -> str:
    """Say what one pydantic error means, with the nearest known key where a key is unknown."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, error["loc"][:-1])
        near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key `{where}`; {hint}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"`{where}`: {message}" if where else message


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the (possibly nested) model at `loc`."""
    current: type[BaseModel] = model
    for part in loc:
        if isinstance(part, str) and part in current.model_fields:
            current = _model_in(current.model_fields[part].annotation) or current
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for arg in getattr(annotation, "__args__", ()) if (m := _model_in(arg))), None)
