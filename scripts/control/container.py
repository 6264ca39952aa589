"""The gateway in a container, by Docker Compose, where there is a Docker that answers."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from contract import config
from scripts.control.service import ROOT
from scripts.control.trouble import Trouble


def docker_answers() -> bool:
    """Whether there is a Docker engine for us, and Compose."""
    return shutil.which("docker") is not None and _says("docker", "info") and compose() is not None


def compose() -> list[str] | None:
    """The command of Compose: Docker's plugin, or the older program of its own."""
    if _says("docker", "compose", "version"):
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def bridge_address() -> str | None:
    """The host's address on Docker's default bridge, at which containers reach it.

    None where the bridge is not on this host, as with Docker Desktop: there, containers reach the host's 127.0.0.1.
    """
    template = '{{index .Options "com.docker.network.bridge.name"}}'
    command = ["docker", "network", "inspect", "bridge", "--format", template]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    addresses = psutil.net_if_addrs().get(done.stdout.strip(), [])
    return next((address.address for address in addresses if address.family == socket.AF_INET), None)


def run(arguments: Sequence[str], home: Path, environ: Mapping[str, str]) -> None:
    """Run Compose on our docker-compose.yml, its output shown. Raises Trouble if it fails."""
    environ = {**environ, **variables(home, environ)}
    command = [*(compose() or ["docker", "compose"]), "--file", str(ROOT / "docker-compose.yml"), *arguments]
    done = subprocess.run(command, check=False, env=dict(environ), cwd=ROOT)
    if done.returncode:
        raise Trouble(f"`{' '.join(command)}` failed with exit code {done.returncode}; see above")


def variables(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """What docker-compose.yml needs to know of this house."""
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
    }


def mark(home: Path) -> Path:
    """The file that says that this house's gateway is a container."""
    return home / "gateway" / "container"


def _says(*command: str) -> bool:
    """Whether a command ends well."""
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False
