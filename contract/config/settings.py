"""The whole configuration, and what follows from several of its sections."""

from __future__ import annotations

from collections import Counter

from pydantic import model_validator

from contract.config.fields import Frozen
from contract.config.gateway import GatewaySettings
from contract.config.jobs import JobSettings
from contract.config.logs import LogSettings
from contract.config.manager import ManagerSettings, MemorySettings, ResourceSettings
from contract.config.models import ModelSpec
from contract.config.responses import StoredResponseSettings
from contract.config.security import SecuritySettings
from contract.credentials import PLACEHOLDER_KEYS

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

OPEN_WARNING = (
    "WARNING: anyone who can reach this machine can use Enginehouse, because no key is required. "
    "To require one, run: echo GATEWAY_API_KEY=$(openssl rand -hex 24) >> .env && make restart"
)
"""For `Settings.is_open`."""


class Settings(Frozen):
    """The whole configuration file."""

    gateway: GatewaySettings = GatewaySettings()
    manager: ManagerSettings = ManagerSettings()
    memory: MemorySettings = MemorySettings()
    resources: ResourceSettings = ResourceSettings()
    jobs: JobSettings = JobSettings()
    responses: StoredResponseSettings = StoredResponseSettings()
    security: SecuritySettings = SecuritySettings()
    logs: LogSettings = LogSettings()
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
        names = Counter(name for model in self.models for name in (model.id, *model.aliases, *model.presets))
        if repeated := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"models: the name {repeated[0]!r} is used twice; ids, aliases and presets must be unique")
        defaults = Counter(task for model in self.models for task in model.default)
        if repeated := [task for task, count in defaults.items() if count > 1]:
            ids = " and ".join(model.id for model in self.models if repeated[0] in model.default)
            raise ValueError(f"models: the task {repeated[0]!r} has several defaults, {ids}; keep one")
        return self
