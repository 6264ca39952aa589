"""Starts anyone's OpenAI-compatible server in a worker's place, behind a guard that ends it with the manager."""

from __future__ import annotations

import asyncio
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from contract.config import ModelSpec
from manager.processes.children import ChildRegistry
from manager.processes.launchers import LoadFailure, Placement, ReportHandler
from manager.processes.launchers.child import Child
from manager.processes.launchers.logs import Log, Logs

GUARD = Path(__file__).with_name("guard.py")
PORT_TRIES = 3
"""A port is chosen before the server binds it; somebody else may be faster."""

NOT_THERE = 127
"""The guard's exit code when it cannot run the program."""


class CommandProcess(Child):
    """A foreign server behind its guard."""

    def __init__(self, children: ChildRegistry, logs: Logs, log: Log, spec: ModelSpec, name: str) -> None:
        super().__init__(children, name)
        self.log = log
        self.log_path = log.path
        self._logs = logs
        self._spec = spec
        self._port = 0
        self._environment: dict[str, str] = {}
        self._wanted = True

    async def launch(self, environment: dict[str, str]) -> None:
        """Start the guard and the server on a free port. Raises LoadFailure."""
        self._environment = environment
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        macros = {"${PORT}": str(self._port), "${TOKEN}": self.token, "${MODEL_ID}": self._spec.id}
        options = self._spec.options
        try:
            program = [filled_in(part, macros) for part in shlex.split(options["cmd"])]
            env = {name: filled_in(value, macros) for name, value in self._spec.env.items()}
            # -I -S: what the environment says about Python is meant for the server, not for its guard.
            argv = [sys.executable, "-I", "-S", str(GUARD), *program]
            await self.spawn(argv, {**env, **environment}, cwd=options.get("cwd"))
        except ValueError as error:
            raise LoadFailure(f"`cmd` cannot be understood: {error}: {options['cmd']}", certain=True) from error
        except OSError as error:
            raise LoadFailure(f"`cmd` cannot be run: {error}.", certain=True) from error

    async def ready(self) -> None:
        """Return once it answers. Raises LoadFailure when it ends before."""
        for left in reversed(range(PORT_TRIES)):
            if await self._answers():
                return
            if not left or not self._wanted or not port_taken(self._port):
                break
            await self._try_anew()
        raise self.early_end()

    async def _try_anew(self) -> None:
        await super().stop(0)  # nothing of this attempt must be taken for a part of the next
        await self.launch(self._environment)
        if not self._wanted:  # it was stopped meanwhile
            await super().stop(0)

    def early_end(self) -> LoadFailure:
        """What to say of one that ended before it was ready."""
        failure = super().early_end()
        if failure.exit_code == NOT_THERE:
            failure.message = f"there is no such program: {self._spec.options['cmd']}"
        return failure

    async def stop(self, grace: float) -> None:
        """End the server; then its log is free for the next one."""
        self._wanted = False
        await super().stop(grace)
        self._logs.release(self.log)

    async def _answers(self) -> bool:
        """Ask until it says yes; False when it has ended."""
        url = self.url + str(self._spec.options.get("ready") or "/health")
        delay = 0.02
        # Some servers want their key on every path.
        headers = {"authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=5)) as client:
            while self.exit_code is None:
                asking = asyncio.create_task(_says_yes(client, url))
                await asyncio.wait({asking, self._ended}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done() and asking.result():
                    return self.exit_code is None  # else it was somebody else who answered
                asking.cancel()
                await self._ends_within(delay)
                delay = min(0.5, delay * 1.5)
        return False


class CommandLauncher:
    """Launcher of the engine `command`."""

    def __init__(self, home: Path, children: ChildRegistry) -> None:
        self._children = children
        self._logs = Logs(home / "logs")

    async def start(self, spec: ModelSpec, placement: Placement, name: str, report: ReportHandler) -> CommandProcess:  # noqa: ARG002 - a foreign server reports nothing
        """Start the server. Raises LoadFailure."""
        log = self._logs.of_model(spec.id)
        process = CommandProcess(self._children, self._logs, log, spec, name)
        try:
            await process.launch(placement.environment)
        except BaseException:
            self._logs.release(log)
            raise
        return process


def filled_in(text: str, macros: Mapping[str, str]) -> str:
    """The text with our macros replaced; whatever else looks like one is the server's."""
    for macro, value in macros.items():
        text = text.replace(macro, value)
    return text


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


async def _says_yes(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url) as response:
            return 200 <= response.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
