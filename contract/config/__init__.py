"""Reads the configuration file into immutable settings, and explains what is wrong with it.

Environment variables override the file, and the file overrides the defaults of the sections. Only the manager uses
`models`.
"""

from contract.config.environment import ENVIRONMENT, default_path, home
from contract.config.errors import ConfigError, explain
from contract.config.fields import Frozen
from contract.config.gateway import GatewaySettings
from contract.config.jobs import JobSettings
from contract.config.logs import LogSettings
from contract.config.manager import ManagerSettings, MemorySettings, ResourceSettings
from contract.config.models import ModelSpec
from contract.config.reading import load, variables
from contract.config.security import ApiKey, SecuritySettings, hash_key
from contract.config.settings import OPEN_WARNING, Settings

__all__ = [
    "ENVIRONMENT",
    "OPEN_WARNING",
    "ApiKey",
    "ConfigError",
    "Frozen",
    "GatewaySettings",
    "JobSettings",
    "LogSettings",
    "ManagerSettings",
    "MemorySettings",
    "ModelSpec",
    "ResourceSettings",
    "SecuritySettings",
    "Settings",
    "default_path",
    "explain",
    "hash_key",
    "home",
    "load",
    "variables",
]
