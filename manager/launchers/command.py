"""Starts anyone's OpenAI-compatible server in a worker's place, behind a guard that ends it with the manager."""

from __future__ import annotations

import asyncio
import shlex
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

import aiohttp

from contract.config import ModelSpec
from manager.children import Children
from manager.launchers import LoadFailure, Placement, Report
from manager.launchers.child import Child, new_log

GUARD = Path(__file__).with_name("guard.py")
PORT_TRIES = 3
"""A port is chosen before the server binds it; somebody else may be faster."""


class CommandProcess(Child):
    """A foreign server behind its guard."""

    def __init__(self, children: Children, log_path: Path, argv: Sequence[str], spec: ModelSpec) -> None:
        super().__init__(children)
        self.log_path = log_path
        self._argv = argv
        self._spec = spec
        self._port = 0
        self._environment: dict[str, str] = {}

    async def launch(self, environment: dict[str, str]) -> None:
        """Start the guard and the server on a free port. Raises LoadFailure."""
        self._environment = environment
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        macros = {"PORT": str(self._port), "TOKEN": self.token, "MODEL_ID": self._spec.id}
        argv = [Template(part).safe_substitute(macros) for part in self._argv]
        env = {name: Template(value).safe_substitute(macros) for name, value in self._spec.env.items()}
        try:
            await self.spawn([sys.executable, str(GUARD), *argv], {**env, **environment})
        except OSError as error:
            raise LoadFailure(f"the guard cannot be run: {error}.", certain=True) from error

    async def ready(self) -> None:
        """Return once it answers. Raises LoadFailure when it ends before."""
        for attempt in range(1, PORT_TRIES + 1):
            if await self._answers():
                return
            if attempt == PORT_TRIES or not port_taken(self._port):
                break
            await self.launch(self._environment)
        code = self.exit_code
        reason = "the program is not there" if code == 127 else f"it ended with exit code {code} while starting"
        raise LoadFailure(f"{reason}: {shlex.join(self._argv)}.", certain=code == 127, exit_code=code)

    async def _answers(self) -> bool:
        """Ask until it says yes; False when it has ended."""
        path = str(self._spec.options.get("ready") or "/health")
        delay = 0.02
        ended = asyncio.ensure_future(self.wait())
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client:
            while self.exit_code is None:
                try:
                    async with client.get(self.url + path) as response:
                        if response.ok:
                            ended.cancel()
                            return True
                except (aiohttp.ClientError, TimeoutError, OSError):
                    pass
                await asyncio.wait({ended}, timeout=delay)
                delay = min(0.5, delay * 1.5)
        return False


class CommandLauncher:
    """Launcher of the engine `command`."""

    def __init__(self, home: Path, children: Children) -> None:
        self._children = children
        self._logs = home / "logs"

    async def start(self, spec: ModelSpec, placement: Placement, name: str, report: Report) -> CommandProcess:  # noqa: ARG002 - a foreign server reports nothing
        """Start the server. Raises LoadFailure."""
        argv = shlex.split(spec.options["cmd"])
        process = CommandProcess(self._children, new_log(self._logs, name), argv, spec)
        await process.launch(placement.environment)
        return process


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def port_taken(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
