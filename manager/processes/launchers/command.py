"""Starts any OpenAI-compatible server in place of a worker, behind a guard that ends it when the manager is gone."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from contract.config import ModelSpec
from manager.processes.children import ChildRegistry
from manager.processes.launchers import ReportHandler
from manager.processes.launchers.child import Child
from manager.processes.launchers.logs import Log, Logs
from manager.processes.network import WorkerNetwork
from manager.processes.progress import Probes
from manager.state.process import LoadFailure, Placement, lasting_failure

GUARD = Path(__file__).with_name("guard.py")
PORT_ATTEMPTS = 3
"""A port is chosen before the server binds it; another program may bind it first."""

PROGRAM_NOT_FOUND = 127
"""The guard's exit code when it cannot run the program."""


class CommandProcess(Child):
    """An external server behind its guard."""

    def __init__(self, children: ChildRegistry, logs: Logs, log: Log, spec: ModelSpec, name: str) -> None:
        super().__init__(children, name)
        self.log = log
        self.log_path = log.path
        self._logs = logs
        self._spec = spec
        self.health_path = str(spec.options.get("ready") or "/health")
        self.probes = Probes(self.health_path)
        self._port = 0
        self._environment: dict[str, str] = {}
        self._stop_requested = False

    async def launch(self, environment: dict[str, str], network: WorkerNetwork) -> None:
        """Start the guard and the server on a free port. Raises LoadFailure."""
        self._environment = environment
        self._network = network
        self._port = network.free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        macros = {"${PORT}": str(self._port), "${TOKEN}": self.token, "${MODEL_ID}": self._spec.id}
        options = self._spec.options
        try:
            program = [expand(part, macros) for part in shlex.split(options["cmd"])]
            env = {name: expand(value, macros) for name, value in self._spec.env.items()}
            # -I -S: Python settings in the environment are meant for the server, not for its guard.
            argv = [sys.executable, "-I", "-S", str(GUARD), *program]
            await self.spawn(argv, {**env, **environment}, cwd=options.get("cwd"))
        except ValueError as error:
            raise LoadFailure(
                f"`cmd` is not a valid command line: {error}: {options['cmd']}", certain=True, permanent=True
            ) from error
        except OSError as error:
            raise lasting_failure(f"`cmd` cannot be run: {error}.") from error

    async def ready(self) -> None:
        """Return once the server's ready path answers 2xx. Raises LoadFailure if the server ends before."""
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            if await self._answers():
                return
            if not attempts_left or self._stop_requested or not port_taken(self._port):
                break
            await self._relaunch()
        raise self.exit_failure()

    async def _relaunch(self) -> None:
        await super().stop(0)  # no process of this attempt may be mistaken for one of the next
        await self.launch(self._environment, self._network)
        if self._stop_requested:  # stopped during the launch
            await super().stop(0)

    def exit_failure(self) -> LoadFailure:
        """The failure of a server that ended before it was ready."""
        failure = super().exit_failure()
        program = shlex.split(self._spec.options["cmd"])[0]
        # A shell that does not find a program ends so too; then the message has its last line, which names it.
        if failure.exit_code == PROGRAM_NOT_FOUND and not shutil.which(program, path=self._spec.env.get("PATH")):
            failure.message = f"there is no program {program}: install it, or write its full path into `options.cmd`."
            failure.permanent = True
        return failure

    async def stop(self, grace: float) -> None:
        """Stop the server, then release its log for the next one."""
        self._stop_requested = True
        await super().stop(grace)
        self._logs.release(self.log)

    async def _answers(self) -> bool:
        """Request the ready path until it answers 2xx. False if the server has ended."""
        url = self.url + self.health_path
        delay, started = 0.02, time.monotonic()
        # Some servers require their key on every path.
        headers = {"authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=5)) as client:
            while self.exit_code is None:
                probe = asyncio.create_task(_succeeds(client, url, self.probes))
                await asyncio.wait({probe, self._exited}, return_when=asyncio.FIRST_COMPLETED)
                if probe.done() and probe.result():
                    return self.exit_code is None  # otherwise another program on the same port answered
                probe.cancel()
                await self._ends_within(delay)
                slowest = min(2.0, max(0.5, (time.monotonic() - started) / 60))
                delay = min(slowest, delay * 1.5)
        return False


class CommandLauncher:
    """Launcher of the engine `command`."""

    def __init__(self, children: ChildRegistry, logs: Logs, network: WorkerNetwork | None = None) -> None:
        self._children = children
        self._logs = logs
        self._network = network or WorkerNetwork()

    async def start(self, spec: ModelSpec, placement: Placement, name: str, report: ReportHandler) -> CommandProcess:  # noqa: ARG002 - an external server reports nothing
        """Start the server. Raises LoadFailure."""
        log = self._logs.for_model(spec.id)
        process = CommandProcess(self._children, self._logs, log, spec, name)
        try:
            await process.launch(placement.environment, self._network)
        except BaseException:
            self._logs.release(log)
            raise
        return process


def expand(text: str, macros: Mapping[str, str]) -> str:
    """Replace our own macros. Anything else that looks like one is left for the server."""
    for macro, value in macros.items():
        text = text.replace(macro, value)
    return text


def port_taken(port: int) -> bool:
    """Whether a program listens on the port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


async def _succeeds(client: aiohttp.ClientSession, url: str, probes: Probes) -> bool:
    try:
        async with client.get(url) as response:
            probes.answered += 1
            return 200 <= response.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
