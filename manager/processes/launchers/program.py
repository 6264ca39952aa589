"""Starts a program without holding up the event loop, and waits for its end.

Between fork and exec, the new process may be stopped, or wait for a file system that does not respond. asyncio and
uvloop would wait for it, and the whole manager with them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from manager.processes.children import signal_group

T = TypeVar("T")

START_TIMEOUT = 30.0
"""Seconds from fork to exec after which a start has failed."""

# Python holds its interpreter lock during vfork, which returns after exec: a thread would hold up the loop as well.
subprocess._USE_VFORK = False  # type: ignore[misc]  # may be set, as its documentation says


class Program:
    """A program that leads a session of its own. When it ends, its process group is killed."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.pid = popen.pid
        self.returncode: int | None = None  # known once `wait` has returned
        self._popen = popen
        self._end = _in_thread(self._collect)

    @classmethod
    async def start(cls, argv: Sequence[str], **options: Any) -> Program:
        """Start a program with the options of `subprocess.Popen`. Raises OSError, also if it does not run in time."""
        forked: list[_Popen] = []
        starting = _in_thread(lambda: _Popen(forked, argv, start_new_session=True, **options))
        try:
            await asyncio.wait({starting}, timeout=START_TIMEOUT)
        finally:
            if not starting.done():
                _give_up(starting, forked)
        if not starting.done():
            raise TimeoutError(f"it did not run after {START_TIMEOUT:g} s; does its file system respond?")
        return cls(starting.result())

    async def wait(self) -> int:
        """Return the exit code once the program has ended; a negative one is a signal's number."""
        self.returncode = await asyncio.shield(self._end)
        return self.returncode

    def _collect(self) -> int:
        if hasattr(os, "waitid"):  # macOS has it since Python 3.13
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        signal_group(self.pid, signal.SIGKILL)  # before the exit code is collected: then its number may be reused
        return self._popen.wait()


class _Popen(subprocess.Popen[bytes]):
    """Adds itself to `forked` at once: it has a pid long before its constructor returns."""

    def __init__(self, forked: list[_Popen], argv: Sequence[str], **options: Any) -> None:
        forked.append(self)
        super().__init__(argv, **options)


def _give_up(starting: asyncio.Future[_Popen], forked: list[_Popen]) -> None:
    """End a program that does not run yet, now if possible, or as soon as it does."""
    starting.add_done_callback(_end)
    _in_thread(lambda: _kill_once_forked(starting, forked))


def _kill_once_forked(starting: asyncio.Future[_Popen], forked: list[_Popen]) -> None:
    """Kill a program that may not even be forked yet: on a busy machine, a fork takes long as well."""
    while not starting.done():
        for popen in forked:
            if getattr(popen, "pid", None):
                os.kill(popen.pid, signal.SIGKILL)  # its constructor, which waits for exec, collects it
                return
        time.sleep(0.01)


def _end(starting: asyncio.Future[_Popen]) -> None:
    if not starting.cancelled() and not starting.exception():
        popen = starting.result()
        os.kill(popen.pid, signal.SIGKILL)  # not popen.kill(), which may collect it
        Program(popen)  # collects it


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run work that may take for ever in a thread of its own, which does not keep the manager from ending."""
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return asyncio.wrap_future(outcome)
