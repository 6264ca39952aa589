"""Reads the configuration file into immutable settings, and explains what is wrong with it.

Environment variables override the file, and the file overrides the defaults here. Only the manager uses `models`.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from contract.credentials import PLACEHOLDER_KEYS, Credential, check_credential
from contract.default_config import MODELS
from contract.yaml_file import read_yaml


class ConfigError(Exception):
    """The configuration is invalid; the message names the key and says what to write instead."""


class Frozen(BaseModel):
    """An immutable section of the configuration; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _split(value: Any) -> Any:
    """Split a comma-separated text into a list: environment variables have no lists."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

OPEN_WARNING = (
    "WARNING: anyone who can reach this machine can use Enginehouse, because no key is required. "
    "To require one, run: echo GATEWAY_API_KEY=$(openssl rand -hex 24) >> .env && make restart"
)
"""For `Settings.is_open`."""

NameList = Annotated[tuple[str, ...], BeforeValidator(_split)]


def _check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        ipaddress.ip_network(network, strict=False)  # its ValueError says what is wrong
    return networks


Networks = Annotated[NameList, AfterValidator(_check_networks)]


class GatewaySettings(Frozen):
    """The gateway, which clients connect to."""

    host: str = "0.0.0.0"  # noqa: S104 - the gateway is the public entry point
    port: int = Field(8000, ge=0, le=65535)
    manager_host: str = "127.0.0.1"
    api_key: Credential = ""
    cors_origins: NameList = ()
    hosts: NameList = ()
    trusted_proxies: Networks = ()
    max_body_mb: float = Field(64, gt=0)
    max_connections: int = Field(4096, ge=1)
    max_connections_per_address: int = Field(512, ge=1)


class ManagerSettings(Frozen):
    """The manager, which decides which workers run; `idle_timeout` is in seconds, -1 for never."""

    listen: NameList = ("127.0.0.1",)
    port: int = Field(8100, ge=0, le=65535)
    token: Credential = ""
    idle_timeout: float = Field(300, ge=-1)
    standby: int = Field(1, ge=0)


class MemorySettings(Frozen):
    """Limits for the memory of all workers, in GiB."""

    safety_margin_gb: float = Field(2, ge=0)
    max_gpu_memory_gb: float | None = Field(None, gt=0)
    max_ram_gb: float | None = Field(None, gt=0)


class ResourceSettings(Frozen):
    """Limits for running and waiting requests; times are in seconds."""

    max_concurrent_requests: int = Field(64, ge=1)
    max_wait: float = Field(600, gt=0)
    swap_after: float = Field(5, ge=0)
    shutdown_timeout: float = Field(30, ge=0)


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


class ModelSpec(Frozen):
    """One entry of `models`: what to run, where, and for how long. Times are in seconds, memory in GiB."""

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


class Settings(Frozen):
    """The whole configuration file."""

    gateway: GatewaySettings = GatewaySettings()
    manager: ManagerSettings = ManagerSettings()
    memory: MemorySettings = MemorySettings()
    resources: ResourceSettings = ResourceSettings()
    security: SecuritySettings = SecuritySettings()
    models: tuple[ModelSpec, ...] = ()

    @property
    def stop_timeout(self) -> int:
        """Seconds after which a stopping program may be killed: its requests and workers have ended by then."""
        return int(self.resources.shutdown_timeout + max([m.stop_grace for m in self.models] or [10])) + 35

    @property
    def is_open(self) -> bool:
        """Whether other machines can use the gateway without a key."""
        security = self.security
        has_keys = self.gateway.api_key not in PLACEHOLDER_KEYS or security.api_keys or security.jwt_secret
        return not (has_keys or security.ip_allowlist or self.gateway.host in LOOPBACK)

    @model_validator(mode="after")
    def _check_unique(self) -> Settings:
        names = Counter(name for model in self.models for name in (model.id, *model.aliases))
        if repeated := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"models: the name {repeated[0]!r} is used twice; ids and aliases must be unique")
        defaults = Counter(task for model in self.models for task in model.default)
        if repeated := [task for task, count in defaults.items() if count > 1]:
            raise ValueError(f"models: two models are the default for {repeated[0]!r}; keep one")
        return self


ENVIRONMENT: dict[str, tuple[str, str]] = {
    "PORT": ("gateway", "port"),
    "GATEWAY_PORT": ("gateway", "port"),
    "GATEWAY_HOST": ("gateway", "host"),
    "WORKER_MANAGER_HOST": ("gateway", "manager_host"),
    "GATEWAY_API_KEY": ("gateway", "api_key"),
    "CORS_ORIGINS": ("gateway", "cors_origins"),
    "GATEWAY_HOSTS": ("gateway", "hosts"),
    "MANAGER_PORT": ("manager", "port"),
    "MANAGER_LISTEN": ("manager", "listen"),
    "MANAGER_TOKEN": ("manager", "token"),
    "IDLE_TIMEOUT": ("manager", "idle_timeout"),
    "SECRET_KEY": ("security", "jwt_secret"),
}
"""Environment variables and the setting that each overrides; a later one wins (GATEWAY_PORT over PORT)."""


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The state folder: measured memory footprints, logs, tokens, child processes."""
    return Path(environ.get("ENGINEHOUSE_HOME") or "data").resolve()


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The path of the configuration file, from the environment or the default."""
    return Path(environ.get("ENGINEHOUSE_CONFIG") or "config.yaml")


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings from `path`, `.env` and the environment.

    A `source` or `python` that begins with `./` or `../` is relative to the file. If the default file does not exist
    and no other was named, the models are those of `contract.default_config`. Raises ConfigError.
    """
    required = path is not None or bool(environ.get("ENGINEHOUSE_CONFIG"))
    path = path or default_path(environ)
    data = _read(path) if required or path.exists() else {"models": MODELS}
    _resolve_paths(data, path.parent)
    dotenv = {k: v for k, v in dotenv_values(path.parent / ".env").items() if v is not None}
    _override(data, {**dotenv, **environ})
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(explain(e, Settings) for e in error.errors())) from None


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ConfigError(f"{path} does not exist; create it, or set ENGINEHOUSE_CONFIG to another file")
    try:
        data = read_yaml(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if not isinstance(data, dict):
        message = f"{path} must contain sections such as `gateway:` and `models:`, not a {type(data).__name__}"
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


def _override(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name, (section, key) in ENVIRONMENT.items():
        if environ.get(name, "") != "":
            data[section] = {**(data.get(section) or {}), key: environ[name]}
    if environ.get("API_KEYS"):
        security = data.get("security") or {}
        keys = [_entry(number, key) for number, key in enumerate(_split(environ["API_KEYS"]), start=1)]
        data["security"] = {**security, "api_keys": [*(security.get("api_keys") or []), *keys]}


def _entry(number: int, key: str) -> dict[str, str]:
    try:
        check_credential(key)
    except ValueError as error:
        raise ConfigError(f"API_KEYS: key {number}: {error}") from None
    return {"name": f"env-{number}", "key_hash": hash_key(key)}


def hash_key(key: str) -> str:
    """The stored form of an API key: `sha256:` and its hex digest."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def explain(error: Any, model: type[BaseModel]) -> str:
    """Describe one pydantic error; for an unknown key, suggest the most similar known one."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _known_keys(model, error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key `{key}`; {hint}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"`{key}`: {message}" if key else message


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the (possibly nested) section at `loc`."""
    current: type[BaseModel] = model
    for part in loc:
        if isinstance(part, str) and part in current.model_fields:
            current = _model_in(current.model_fields[part].annotation) or current
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for arg in getattr(annotation, "__args__", ()) if (m := _model_in(arg))), None)
