"""A process that the manager gave birth to: its group, its log, its end."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from manager import tree
from manager.children import Children, kill

ROOT = Path(__file__).parents[2]


class Child:
    """The leader of a process group, with a pipe to its stdin whose end tells it that the manager is gone."""

    log_path: Path

    def __init__(self, children: Children) -> None:
        self.uuid = uuid.uuid4().hex
        self.token = secrets.token_urlsafe(24)
        self.url = ""
        self.from_standby = False
        self._children = children
        self._process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code if it has ended (negative: the signal)."""
        return self._process.returncode

    async def spawn(self, argv: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int] = ()) -> None:
        """Start the program. Raises OSError when there is no such program."""
        environ = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            **env,
            tree.MARK: self.uuid,
        }
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environ,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        self._children.born(self.uuid, self.pid)

    async def tell(self, line: bytes) -> None:
        """Write to its stdin; one that has just ended is noticed by who waits for it."""
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(line)
            await self._process.stdin.drain()

    async def wait(self) -> int:
        """Its exit code, once it has ended (negative: the signal)."""
        return await self._process.wait()

    async def stop(self, grace: float) -> None:
        """Ask, then TERM to the group, then KILL to all that is left. Safe to call again, and on the dead."""
        family = await asyncio.to_thread(tree.tree, self.pid, self.uuid)
        if self.exit_code is None and not (await self.ask_to_end() and await self._ends_within(grace / 2)):
            self._signal_group(signal.SIGTERM)
            if not await self._ends_within(grace):
                self._signal_group(signal.SIGKILL)
                await self.wait()
        await asyncio.to_thread(self._end_the_rest, family)
        self._children.gone(self.uuid)

    async def ask_to_end(self) -> bool:
        """Ask the program itself. False if it cannot be asked."""
        return False

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that it wrote."""
        with suppress(OSError), self.log_path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _signal_group(self, number: signal.Signals) -> None:
        if self.exit_code is None:  # not reaped yet: its group's number is still its own
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def _end_the_rest(self, family: Sequence[psutil.Process]) -> None:
        """Grandchildren, whether they stayed in the family or escaped from it."""
        kill({process.pid: process for process in (*family, *tree.escaped(self.uuid)) if tree.alive(process)}.values())


def new_log(folder: Path, name: str) -> Path:
    """The log of a worker or a standby (a model's id may hold slashes); the one before it is kept beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('/', '_')}.log"
    if path.exists():
        path.replace(path.with_suffix(".log.1"))
    return path
