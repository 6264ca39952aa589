"""The house as services of the system: what is common to systemd and launchd, and which of them this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from contract.config import ENVIRONMENT
from scripts.control.trouble import Trouble

ROOT = Path(__file__).parents[2]
_KEPT = ("ENGINEHOUSE_CONFIG", "API_KEYS", "HF_HOME", "HF_TOKEN", "PATH", *ENVIRONMENT)
"""Variables that the services get as they were when `make install` was called."""


class Service(Protocol):
    """A way in which the system runs our programs. All raise Trouble with what the system's own tool said."""

    def belongs_to(self, home: Path) -> bool:
        """Whether the services that are installed are those of this house."""

    def install(self, programs: Sequence[str], home: Path, environ: Mapping[str, str]) -> None:
        """Write the services and start them, now and whenever the machine starts."""

    def uninstall(self) -> None:
        """Stop the services and remove them."""

    def start(self) -> None:
        """Start what is installed."""

    def stop(self) -> None:
        """Stop what is installed, until the next start of the machine or of the services."""


def of_this_machine() -> Service | None:
    """The machine's service manager; None where there is none, as in most containers."""
    from scripts.control.launchd import Launchd
    from scripts.control.systemd import Systemd

    if sys.platform == "darwin":
        return Launchd()
    return Systemd() if Path("/run/systemd/system").is_dir() else None


def environment(home: Path, listen: Sequence[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the services find in their environment: this house's place, and where the manager listens."""
    kept = {name: environ[name] for name in _KEPT if environ.get(name)}
    if "ENGINEHOUSE_CONFIG" in kept:
        kept["ENGINEHOUSE_CONFIG"] = str(Path(kept["ENGINEHOUSE_CONFIG"]).resolve())
    return {**kept, "ENGINEHOUSE_HOME": str(home), "MANAGER_LISTEN": ",".join(listen)}


def call(*command: str) -> str:
    """Run one of the system's tools and return what it printed. Raises Trouble with what it complained of."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        raise Trouble(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise Trouble(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
