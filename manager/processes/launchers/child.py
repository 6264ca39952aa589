"""A process that the manager has started: its group, its lifeline, its log, and how it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil

from contract.config import ENVIRONMENT
from manager import cgroups, process_tree
from manager.processes import orphans
from manager.processes.children import ChildRegistry, kill, signal_group
from manager.processes.launchers.logs import Log
from manager.processes.launchers.pipe_end import pipe_end
from manager.processes.launchers.program import Program
from manager.state.process import LoadFailure

logger = logging.getLogger(__name__)

PRIVATE_VARIABLES = {*ENVIRONMENT, "API_KEYS"}
"""Keys and ports of gateway and manager: no worker needs them, and an external server might use PORT itself."""

KILL_TIMEOUT = 10.0
"""Seconds after KILL until a process counts as stuck in the kernel, as a faulty driver may leave it."""


class Child:
    """The leader of a process group, with a pipe to its stdin that closes when the manager is gone."""

    log: Log
    log_path: Path
    health_path = "/healthz"

    def __init__(self, children: ChildRegistry, name: str) -> None:
        self.uuid = uuid.uuid4().hex
        self.token = secrets.token_urlsafe(24)
        self.url = ""
        self.from_standby = False
        self._name = name
        self._children = children
        self._program: Program
        self._stdin: asyncio.WriteTransport
        self._exited: asyncio.Task[int]
        self._stopping: asyncio.Task[None] | None = None
        self._cgroup: Path | None = None

    @property
    def pid(self) -> int:
        return self._program.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code once it has ended; a negative one is a signal's number."""
        return self._program.returncode

    @property
    def is_suspended(self) -> bool:
        """Whether it is stopped (SIGSTOP, or a debugger), and does nothing until it is continued."""
        return process_tree.is_suspended(self.pid)

    async def spawn(
        self, argv: Sequence[str], env: Mapping[str, str], *, pass_fds: Sequence[int] = (), cwd: str | None = None
    ) -> None:
        """Start the program. Raises OSError when there is no such program or folder."""
        spawning = asyncio.ensure_future(self._spawn(argv, env, pass_fds, cwd))
        try:
            await asyncio.shield(spawning)
        except asyncio.CancelledError:
            with suppress(OSError):  # the process may be running already, and no one else would stop it
                await spawning
                await self._shut_down(0)
            raise

    async def _spawn(
        self, argv: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int], cwd: str | None
    ) -> None:
        inherited = {key: value for key, value in os.environ.items() if key not in PRIVATE_VARIABLES}
        # asyncio's own pipe would delay the exit until every process that inherited its read end has closed it. Both
        # ends of this one close on exec, so no other child keeps it open when the manager is gone.
        read_end, write_end = os.pipe()
        cgroup = cgroups.create(self.uuid)
        try:
            with self.log.open() as log:
                self._program = await Program.start(
                    argv,
                    stdin=read_end,
                    stdout=log,
                    stderr=log,
                    env={**inherited, "PYTHONUNBUFFERED": "1", **env, **cgroup, process_tree.MARK: self.uuid},
                    cwd=cwd,
                    pass_fds=tuple(pass_fds),
                )
        except BaseException:
            os.close(write_end)
            cgroups.remove_empty()
            raise
        finally:
            os.close(read_end)
        stdin = pipe_end(write_end, "wb")
        self._stdin, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, stdin)
        self._exited = asyncio.create_task(self._wait_for_exit())
        self._cgroup = cgroups.enter(self.uuid, self.pid)
        self._children.add(self.uuid, self.pid, self._name, self._cgroup)

    def rename(self, name: str) -> None:
        """Give a standby the name of the worker that it becomes."""
        self._name = name
        self._children.rename(self.uuid, name)

    def send_line(self, line: bytes) -> None:
        """Write to its stdin. Does nothing if it has just ended; `wait` and `ready` report that."""
        if not self._stdin.is_closing():
            self._stdin.write(line)

    async def wait(self) -> int:
        """Return the exit code once the process has ended; a negative one is a signal's number."""
        return await asyncio.shield(self._exited)

    async def stop(self, grace: float) -> None:
        """Ask it to shut down, then send TERM to its group, then KILL to all that is left.

        May be called several times, and after the process has ended. If the caller is cancelled, stopping continues.
        """
        if self._stopping is None or self._stopping.done():
            self._stopping = asyncio.create_task(self._shut_down(grace))
        await asyncio.shield(self._stopping)

    async def responds(self, within: float) -> bool:
        """Whether its server answers a health check `within` these seconds, with any status."""
        headers = {"authorization": f"Bearer {self.token}"}
        limit = aiohttp.ClientTimeout(total=within)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=limit) as client,
                client.get(self.url + self.health_path),
            ):
                return True
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def request_shutdown(self, timeout: float) -> bool:  # noqa: ARG002, ASYNC109 - for subclasses that can
        """Ask the program to shut down; whether it agreed within `timeout` seconds. Most programs cannot be asked."""
        return False

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return self.log.tail(lines)

    def exit_failure(self) -> LoadFailure:
        """The failure of a process that ended before it was ready. A signal may have come from anywhere."""
        code = self.exit_code or 0
        how = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
        last = self.log_tail(1).strip()
        return LoadFailure(
            f"it ended with {how} while starting{f'; its last line was: {last}' if last else ''}.",
            certain=code > 0,
            exit_code=code,
        )

    async def _wait_for_exit(self) -> int:
        code = await self._program.wait()
        self._stdin.close()
        return code

    async def _shut_down(self, grace: float) -> None:
        family = await asyncio.to_thread(process_tree.tree, self.pid, self.uuid)
        if self.exit_code is None and not (grace and await self._ends_when_asked(grace)):
            self._signal_group(signal.SIGTERM)
            if not await self._ends_within(grace):
                self._signal_group(signal.SIGKILL)
                await self._ends_within(KILL_TIMEOUT)
        await asyncio.to_thread(self._kill_descendants, family)
        if self.exit_code is None:  # it stays recorded, and its memory shows as a leak
            logger.error("%s (pid %d) cannot be killed", self._name, self.pid)
        else:
            self._children.remove(self.uuid)

    async def _ends_when_asked(self, grace: float) -> bool:
        return await self.request_shutdown(min(1.0, grace)) and await self._ends_within(grace / 2)

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
        return self.exit_code is not None

    def _signal_group(self, number: signal.Signals) -> None:
        if self.exit_code is None:  # its exit code is not collected yet, so its group's number is still its own
            signal_group(self.pid, number)

    def _kill_descendants(self, family: Sequence[psutil.Process]) -> None:
        """Kill the rest of its tree and all that carries its uuid; repeatedly, since they may fork meanwhile.

        If it was killed, its tree is unknown by now: what the manager has adopted is part of it or of a similar one.
        """
        ended: set[int] = set()
        known = [*family, *self._children.descendants(self.uuid)]
        for _ in range(5):
            known += [*process_tree.marked(self.uuid), *orphans.adopted(self._children.pids)]
            remaining = {p.pid: p for p in known if process_tree.alive(p) and p.pid != self.pid}
            if not remaining:
                break
            kill(remaining.values(), timeout=2)
            ended |= remaining.keys()
            known = []
        if self.exit_code is not None:
            if self._cgroup:
                ended |= set(cgroups.members(self.uuid))
                cgroups.end(self._cgroup)
            orphans.collect(ended, self.pid)
