"""The interface that systemd and launchd share, and what both need."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from contract import config
from contract.config import ENVIRONMENT
from scripts.control.errors import ControlError

ROOT = Path(__file__).parents[2]
_KEPT = ("ENGINEHOUSE_CONFIG", "API_KEYS", "LOG_LEVEL", "HF_HOME", "HF_TOKEN", "PATH", *ENVIRONMENT)
"""Variables that the services keep as they were when `make install` was called."""


class ServiceManager(Protocol):
    """Runs our programs as services. All methods raise ControlError with the message of the system's own tool."""

    def belongs_to(self, home: Path) -> bool:
        """Whether the installed services are those of the installation with this state folder."""

    def install(self, programs: Sequence[str], home: Path, environ: Mapping[str, str]) -> None:
        """Write the services and start them, now and whenever the machine starts."""

    def uninstall(self) -> None:
        """Stop the services and remove them."""

    def start(self) -> None:
        """Start what is installed."""

    def stop(self) -> None:
        """Stop what is installed, until the machine or the services start again."""


def service_environment(home: Path, listen: Sequence[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of the services: the variables to keep, the state folder and the manager's addresses."""
    kept = {name: environ[name] for name in _KEPT if environ.get(name)}
    if "ENGINEHOUSE_CONFIG" in kept:
        kept["ENGINEHOUSE_CONFIG"] = str(Path(kept["ENGINEHOUSE_CONFIG"]).resolve())
    return {**kept, "ENGINEHOUSE_HOME": str(home), "MANAGER_LISTEN": ",".join(listen)}


def stop_timeout(environ: Mapping[str, str]) -> int:
    """Seconds that a program may take to stop. A configuration that has become invalid leaves the default."""
    try:
        return config.load(environ=environ).stop_timeout
    except config.ConfigError:
        return config.Settings().stop_timeout


def run_tool(*command: str) -> str:
    """Run one of the system's tools and return its output. Raises ControlError with its complaint if it fails."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise ControlError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise ControlError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
