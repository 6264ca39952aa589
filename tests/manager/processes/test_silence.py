"""A worker that computes is alive, even if its server does not answer; one that does neither hangs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from manager.processes.progress import CLOCK_GRAIN
from manager.processes.silence import Silence
from tests.support.spawning import eventually
from tests.support.virtual_clock import FakeProcess


class Unresponsive(FakeProcess):
    """A process whose server does not answer."""

    async def responds(self, within: float) -> bool:
        return False


@contextmanager
def running(code: str) -> Iterator[int]:
    """The pid of a program, which ends with the block."""
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def pids() -> Iterator[tuple[int, int]]:
    """A program that computes, and one that only waits."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(running("while True: pass")),
            stack.enter_context(running("import signal; signal.pause()")),
        )


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


async def test_only_a_worker_that_does_nothing_hangs(pids: tuple[int, int]) -> None:
    busy, stuck = (Silence(Unresponsive(pid=pid), limit=3) for pid in pids)
    answering = Silence(FakeProcess(pid=pids[1]), limit=3)
    while not await stuck.exceeds_limit(0):
        before = cpu_seconds(pids[0])
        await eventually("it has computed", lambda before=before: cpu_seconds(pids[0]) > before + 3 * CLOCK_GRAIN)
        assert not await busy.exceeds_limit(0)
        assert not await answering.exceeds_limit(0)


async def test_silence_counts_only_while_requests_need_the_worker(pids: tuple[int, int]) -> None:
    silence = Silence(Unresponsive(pid=pids[1]), limit=1)
    while not await silence.exceeds_limit(0):
        pass
    silence.reset()
    assert not await silence.exceeds_limit(0)
