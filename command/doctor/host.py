"""Configuration, ports, disk, tokens, and whether containers reach the manager."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from command.doctor.finding import Finding, Machine, fine, problem, warning
from contract import catalogue
from scripts.control import container
from scripts.control.errors import ControlError
from scripts.control.installation import Installation

LEAST_FREE = 20 * 2**30
"""Bytes of disk space below which a larger model can hardly be downloaded."""
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - compared, not listened on


def ports(machine: Machine) -> Iterator[Finding]:
    """Whether both ports are free, or ours."""
    installation = Installation(machine.environ)
    if installation.is_ready():
        yield fine("server", f"it runs and is ready at {installation.url}")
        return
    try:
        installation.check_ports()
    except ControlError as error:
        yield problem("ports", str(error), "enginehouse serve --port 8001   # another port")
        return
    numbers = f"{machine.settings.gateway.port} and {machine.settings.manager.port}"
    yield warning("server", f"it does not run; the ports {numbers} are free", "enginehouse serve")


def access(machine: Machine) -> Iterator[Finding]:
    """Whether others could use the server without a key."""
    if machine.settings.is_open:
        yield warning(
            "access", "anyone who can reach this machine can use Enginehouse without a key", "enginehouse keys new NAME"
        )
    else:
        yield fine("access", "a key is required, or only this machine can use it")


def disk(machine: Machine) -> Iterator[Finding]:
    """Space for models and for state."""
    environ = machine.environ
    models = Path(environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    for what, folder in (("models", models), ("state", machine.places.home)):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if not os.access(there, os.W_OK):
            yield problem("disk", f"the folder for {what}, {folder}, cannot be written", f"sudo chown -R $USER {there}")
        elif free < LEAST_FREE:
            yield warning("disk", f"{free / 2**30:.1f} GiB are free for {what} in {folder}", f"du -sh {there}/*")
        else:
            yield fine("disk", f"{free / 2**30:.0f} GiB are free for {what} in {folder}")


def tokens(machine: Machine) -> Iterator[Finding]:
    """The token for gated models, and the secret between gateway and manager."""
    known = (catalogue.load().identify(spec.engine, spec.source) for spec in machine.settings.models)
    gated = sorted({model.hub for model in known if model and model.gated and model.hub})
    saved = Path(machine.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "token"
    has_token = bool(machine.environ.get("HF_TOKEN")) or saved.exists()
    if gated and not has_token:
        names = ", ".join(gated)
        yield warning(
            "token", f"{names}: gated, and there is no token", "export HF_TOKEN=...   # after accepting the terms"
        )
    elif gated:
        yield fine("token", f"there is a token for {', '.join(gated)}; the hub knows whether it is valid")
    secret = machine.places.home / "manager" / "token"
    if secret.exists() and stat.S_IMODE(secret.stat().st_mode) & 0o077:
        yield problem("token", f"others can read the manager's secret {secret}", f"chmod 600 {secret}")
    if not os.access(secret, os.R_OK) and secret.exists():
        yield problem("token", f"the manager's secret {secret} cannot be read", f"sudo chown $USER {secret}")


def containers(machine: Machine) -> Iterator[Finding]:
    """Whether a gateway in a container would reach the manager."""
    if not container.docker_is_available():
        yield fine("container", "no Docker runs here that we may use, so the gateway runs on the host")
        return
    listen = set(machine.settings.manager.listen)
    bridge = container.bridge_address()
    if bridge is None:
        yield fine("container", "containers reach this machine's 127.0.0.1")
    elif listen & {bridge, *_EVERYWHERE}:
        yield fine("container", f"the manager listens where containers reach it, on {bridge}")
    else:
        addresses = ",".join([*machine.settings.manager.listen, bridge])
        yield warning(
            "container", f"containers cannot reach the manager, which does not listen on {bridge}",
            f"MANAGER_LISTEN={addresses} enginehouse serve",
        )  # fmt: skip


def names(machine: Machine) -> Iterator[Finding]:
    """Whether `localhost` means this machine, and how much memory is free."""
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo("localhost", None)}
    except OSError:
        addresses = set()
    if not addresses & {"127.0.0.1", "::1"}:
        yield problem(
            "network", "`localhost` is not this machine", "echo '127.0.0.1 localhost' | sudo tee -a /etc/hosts"
        )
    memory = psutil.virtual_memory()
    margin = machine.settings.memory.safety_margin_gb * 2**30
    free = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB RAM are free"
    if memory.available < margin:
        yield problem("memory", f"{free}, less than memory.safety_margin_gb: no model can start", "end other programs")
    else:
        yield fine("memory", free)
