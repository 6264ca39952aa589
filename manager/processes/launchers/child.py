"""A process that the manager gave birth to: its group, its lifeline, its log, its end."""

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

import psutil

from contract.config import ENVIRONMENT
from manager import process_tree
from manager.processes.children import ChildRegistry, end_group, kill
from manager.processes.launchers import LoadFailure
from manager.processes.launchers.logs import Log

logger = logging.getLogger(__name__)

PRIVATE = {*ENVIRONMENT, "API_KEYS"}
"""Keys and ports of gateway and manager: no worker's business, and a foreign server might take PORT for its own."""

UNKILLABLE = 10.0
"""Seconds after KILL until a process counts as stuck in the kernel, as a broken driver may leave it."""


class Child:
    """The leader of a process group, with a pipe to its stdin whose end tells it that the manager is gone."""

    log: Log
    log_path: Path

    def __init__(self, children: ChildRegistry, name: str) -> None:
        self.uuid = uuid.uuid4().hex
        self.token = secrets.token_urlsafe(24)
        self.url = ""
        self.from_standby = False
        self._name = name
        self._children = children
        self._process: asyncio.subprocess.Process
        self._stdin: asyncio.WriteTransport
        self._ended: asyncio.Task[int]
        self._stopping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code if it has ended (negative: the signal)."""
        return self._process.returncode

    async def spawn(
        self, argv: Sequence[str], env: Mapping[str, str], *, pass_fds: Sequence[int] = (), cwd: str | None = None
    ) -> None:
        """Start the program. Raises OSError when there is no such program or folder."""
        birth = asyncio.ensure_future(self._spawn(argv, env, pass_fds, cwd))
        try:
            await asyncio.shield(birth)
        except asyncio.CancelledError:
            with suppress(OSError):  # born all the same, and nobody else knows of it
                await birth
                await self._end(0)
            raise

    async def _spawn(
        self, argv: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int], cwd: str | None
    ) -> None:
        inherited = {key: value for key, value in os.environ.items() if key not in PRIVATE}
        # A pipe of our own, since asyncio's would wait for whoever else holds the reading end before it tells of an
        # exit. Both ends close on exec: no other child keeps it open when we are gone.
        reading, writing = os.pipe()
        stdin = os.fdopen(writing, "wb", buffering=0)
        try:
            with self.log.open() as log:
                self._process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=reading,
                    stdout=log,
                    stderr=log,
                    env={**inherited, "PYTHONUNBUFFERED": "1", **env, process_tree.MARK: self.uuid},
                    cwd=cwd,
                    pass_fds=tuple(pass_fds),
                    start_new_session=True,
                )
        except BaseException:
            stdin.close()
            raise
        finally:
            os.close(reading)
        self._stdin, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, stdin)
        self._ended = asyncio.create_task(self._watch())
        self._children.born(self.uuid, self.pid, self._name)

    def rename(self, name: str) -> None:
        """Let a standby be known by its worker's name."""
        self._name = name
        self._children.named(self.uuid, name)

    def tell(self, line: bytes) -> None:
        """Write to its stdin; one that has just ended is noticed by who waits for it."""
        if not self._stdin.is_closing():
            self._stdin.write(line)

    async def wait(self) -> int:
        """Its exit code, once it has ended (negative: the signal)."""
        return await asyncio.shield(self._ended)

    async def stop(self, grace: float) -> None:
        """Ask, then TERM to the group, then KILL to all that is left. Safe to call again, and on the dead.

        Whoever waits for it may be cancelled: the end goes on.
        """
        if self._stopping is None or self._stopping.done():
            self._stopping = asyncio.create_task(self._end(grace))
        await asyncio.shield(self._stopping)

    async def ask_to_end(self, patience: float) -> bool:  # noqa: ARG002 - others can be asked
        """Ask the program itself, and wait `patience` seconds for a yes. False if it cannot be asked."""
        return False

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that it wrote."""
        return self.log.tail(lines)

    def early_end(self) -> LoadFailure:
        """What to say of one that ended before it was ready: by a signal, it may have been anybody's doing."""
        code = self.exit_code or 0
        how = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
        last = self.log_tail(1).strip()
        return LoadFailure(
            f"it ended with {how} while starting{f'; it wrote last: {last}' if last else ''}.",
            certain=code > 0,
            exit_code=code,
        )

    async def _watch(self) -> int:
        code = await self._process.wait()
        end_group(self.pid, signal.SIGKILL)  # at once, while nobody else can have its number
        self._stdin.close()
        return code

    async def _end(self, grace: float) -> None:
        family = await asyncio.to_thread(process_tree.tree, self.pid, self.uuid)
        if self.exit_code is None and not (grace and await self._ends_when_asked(grace)):
            self._signal_group(signal.SIGTERM)
            if not await self._ends_within(grace):
                self._signal_group(signal.SIGKILL)
                await self._ends_within(UNKILLABLE)
        await asyncio.to_thread(self._end_the_rest, family)
        if self.exit_code is None:  # it stays written down, and its memory shows as a leak
            logger.error("%s (pid %d) cannot be killed", self._name, self.pid)
        else:
            self._children.gone(self.uuid)

    async def _ends_when_asked(self, grace: float) -> bool:
        return await self.ask_to_end(min(1.0, grace)) and await self._ends_within(grace / 2)

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.wait(), seconds)
        return self.exit_code is not None

    def _signal_group(self, number: signal.Signals) -> None:
        if self.exit_code is None:  # not reaped yet: its group's number is still its own
            end_group(self.pid, number)

    def _end_the_rest(self, family: Sequence[psutil.Process]) -> None:
        """Grandchildren, whether they stayed in the family or escaped from it; again, since they may fork meanwhile."""
        doomed = {process.pid: process for process in family if process_tree.alive(process) and process.pid != self.pid}
        for _ in range(5):
            doomed |= {process.pid: process for process in process_tree.escaped(self.uuid) if process.pid != self.pid}
            if not doomed:
                return
            kill(doomed.values(), bound=2)
            doomed = {}
