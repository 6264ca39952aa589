"""Programs that are started in a thread: they may hang before they run, and hold up nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from typing import Any

import psutil
import pytest

from manager.processes.launchers import program
from manager.processes.launchers.program import Program
from tests.support.spawning import eventually, runs

SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]


def stop_self() -> None:
    """Stop between fork and exec."""
    os.kill(os.getpid(), signal.SIGSTOP)


async def stopped_child() -> psutil.Process:
    """Our child that is stopped, once there is one; this needs an event loop that goes on."""

    def stopped() -> list[psutil.Process]:
        return [child for child in psutil.Process().children() if child.status() == psutil.STATUS_STOPPED]

    [child] = await eventually("it has stopped itself", stopped)
    return child


async def test_event_loop_goes_on_while_a_program_hangs_before_it_runs() -> None:
    starting = asyncio.create_task(Program.start(["true"], preexec_fn=stop_self))
    child = await stopped_child()
    assert not starting.done()
    child.resume()
    started = await starting
    assert started.pid == child.pid
    assert await started.wait() == 0


async def test_program_that_does_not_run_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    starting = asyncio.create_task(Program.start(["true"], preexec_fn=stop_self))
    child = await stopped_child()
    loop, now = asyncio.get_running_loop(), time.monotonic
    monkeypatch.setattr(loop, "time", lambda: now() + program.START_TIMEOUT)  # as if it had passed
    with pytest.raises(OSError, match="did not run after"):
        await starting
    await eventually("it is collected", lambda: not psutil.pid_exists(child.pid))


async def test_cancelled_start_ends_the_program() -> None:
    starting = asyncio.create_task(Program.start(["true"], preexec_fn=stop_self))
    child = await stopped_child()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await eventually("it is collected", lambda: not psutil.pid_exists(child.pid))


async def test_start_cancelled_before_the_fork_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    forks = threading.Event()
    children: list[int] = []

    class LatePopen(program._Popen):
        def _execute_child(self, *args: Any) -> None:  # forks
            forks.wait()
            try:
                super()._execute_child(*args)  # type: ignore[misc]  # known to subprocess only
            finally:
                children.append(self.pid)

    monkeypatch.setattr(program, "_Popen", LatePopen)
    starting = asyncio.create_task(Program.start(["true"], preexec_fn=stop_self))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    forks.set()
    await eventually("it is killed and collected", lambda: children and not psutil.pid_exists(children[0]))


async def test_exit_codes_and_signals_are_told_apart() -> None:
    failing = await Program.start(["sh", "-c", "exit 3"])
    killed = await Program.start(SLEEP)
    os.kill(killed.pid, signal.SIGKILL)
    assert (await failing.wait(), await killed.wait()) == (3, -signal.SIGKILL)


async def test_missing_program_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await Program.start(["/no/such/program"])


async def test_rest_of_the_group_ends_with_its_leader() -> None:
    read_end, write_end = os.pipe()
    leader = await Program.start(["sh", "-c", "sleep 1000 & echo $!"], stdout=write_end)
    os.close(write_end)
    assert await leader.wait() == 0
    rest = int(os.read(read_end, 100))
    os.close(read_end)
    await eventually("it has ended", lambda: not runs(rest))
