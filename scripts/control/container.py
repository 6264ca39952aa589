"""The gateway in a container, run with Docker Compose."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from contract import config
from scripts.control.errors import ControlError
from scripts.control.service_manager import ROOT


def docker_is_available() -> bool:
    """Whether we can use a Docker engine and Compose."""
    return shutil.which("docker") is not None and _succeeds("docker", "info") and compose_command() is not None


def compose_command() -> list[str] | None:
    """Compose: Docker's plugin, or else the older program `docker-compose`."""
    if _succeeds("docker", "compose", "version"):
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def bridge_address() -> str | None:
    """The host's address on Docker's default bridge, at which containers reach it.

    None if the bridge is not on this host, as with Docker Desktop. Containers reach the host's 127.0.0.1 there.
    """
    template = '{{index .Options "com.docker.network.bridge.name"}}'
    command = ["docker", "network", "inspect", "bridge", "--format", template]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    addresses = psutil.net_if_addrs().get(done.stdout.strip(), [])
    return next((address.address for address in addresses if address.family == socket.AF_INET), None)


def run_compose(arguments: Sequence[str], home: Path, environ: Mapping[str, str]) -> None:
    """Run Compose on our docker-compose.yml and show its output. Raises ControlError if it fails."""
    environ = {**environ, **compose_variables(home, environ)}
    compose = compose_command() or ["docker", "compose"]
    command = [*compose, "--file", str(ROOT / "docker-compose.yml"), *arguments]
    done = subprocess.run(command, check=False, env=dict(environ), cwd=ROOT)
    if done.returncode:
        raise ControlError(f"`{' '.join(command)}` failed with exit code {done.returncode}; see above.")


def compose_variables(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of docker-compose.yml, for the installation whose state folder is `home`."""
    owner = (home / "manager").stat()
    settings = config.load(environ=environ)
    file = config.default_path(environ).resolve()
    return {
        "ENGINEHOUSE_HOME": str(home),
        "ENGINEHOUSE_USER": f"{owner.st_uid}:{owner.st_gid}",
        "ENGINEHOUSE_CONFIG_FOLDER": str(file.parent),
        "ENGINEHOUSE_CONFIG_NAME": file.name if file.exists() else "",
        "GATEWAY_PORT": str(settings.gateway.port),
        "MANAGER_PORT": str(settings.manager.port),
        "STOP_TIMEOUT": str(settings.stop_timeout),
    }


def marker_file(home: Path) -> Path:
    """The file that exists while the gateway of this installation is a container."""
    return home / "gateway" / "container"


def _succeeds(*command: str) -> bool:
    """Whether a command exits with 0."""
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False
