"""A start that does any work makes progress; one that only waits is silent."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.process_tree import MARK
from manager.processes.progress import GROWTH_BYTES, IO_BYTES, Activity, Progress, next_baseline, shows_progress
from scripts.testbed.server import eventually, is_running

MIB = 1 << 20
BASELINE = Activity(time=100, log=10, cpu=5.0, io=1000, resident=50 * MIB, device=0)


@pytest.mark.parametrize(
    ("change", "progress"),
    [
        ({}, False),
        ({"log": 11}, True),
        ({"log": 3}, True),  # rotated
        ({"cpu": 5.02}, False),  # a timer's work, within the accounting's resolution
        ({"cpu": 5.5}, True),
        ({"io": 1000 + IO_BYTES - 1}, False),
        ({"io": 1000 + IO_BYTES}, True),
        ({"resident": 50 * MIB + GROWTH_BYTES - 1}, False),
        ({"resident": 50 * MIB + GROWTH_BYTES}, True),
        ({"resident": MIB}, False),
        ({"device": GROWTH_BYTES}, True),
    ],
)
def test_each_kind_of_activity_is_progress(change: dict[str, float], progress: bool) -> None:
    assert shows_progress(BASELINE, BASELINE, replace(BASELINE, time=101, **change)) is progress


@given(st.floats(0.5, 10), st.integers(1, 500))
def test_idle_cpu_time_never_adds_up_to_progress(interval: float, checks: int) -> None:
    """A process that only wakes up now and then stays silent, however long it runs."""
    last = BASELINE
    for _ in range(checks):
        now = replace(last, time=last.time + interval, cpu=last.cpu + 0.01 * interval)
        assert not shows_progress(BASELINE, last, now)
        last = now


def test_slow_growth_adds_up_to_progress() -> None:
    grown = [replace(BASELINE, time=100 + n, io=1000 + n * IO_BYTES // 4) for n in range(9)]
    assert [shows_progress(BASELINE, last, now) for last, now in itertools.pairwise(grown)][:4] == [
        False,
        False,
        False,
        True,
    ]


def test_memory_that_shrinks_and_grows_is_no_progress() -> None:
    baseline, progress = BASELINE, 0
    for n in range(20):
        now = replace(BASELINE, time=101 + n, resident=(90 if n % 2 else 40) * MIB)
        if shows_progress(baseline, now, now):
            baseline, progress = next_baseline(baseline, now), progress + 1
    assert progress == 1


@contextmanager
def start(program: str, log: Path = Path(os.devnull)) -> Iterator[Progress]:
    """A real start, whose `program` is about to run. Python's own start is over, and nothing of it is progress."""
    mark = uuid.uuid4().hex
    code = "import sys, time, os\nprint('started', flush=True)\nsys.stdin.readline()\nprint('running', flush=True)\n"
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-u", "-c", code + program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, MARK: mark},
            start_new_session=True,
        )
    assert child.stdin
    assert child.stdout
    try:
        child.stdout.readline()
        progress = Progress(child.pid, mark, log)
        progress.made_progress()
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        yield progress
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def test_a_sleeping_start_is_silent() -> None:
    with start("while True: time.sleep(0.05)") as progress:
        eventually("it is silent", lambda: not progress.made_progress())  # reading its first line was progress
        process = psutil.Process(progress.pid)
        wakeups = process.num_ctx_switches().voluntary
        eventually("it has woken up often", lambda: process.num_ctx_switches().voluntary > wakeups + 20)
        assert not progress.made_progress()


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("while True: pass", id="computes"),
        pytest.param("f = open('/dev/zero', 'rb')\nwhile f.read(100_000): time.sleep(0.05)", id="reads"),
        pytest.param("a = []\nwhile True: a.append(b'x' * 500_000); time.sleep(0.05)", id="grows"),
        pytest.param("import subprocess; subprocess.run([sys.executable, '-c', 'while True: pass'])", id="delegates"),
    ],
)
def test_a_working_start_keeps_making_progress(program: str) -> None:
    with start(program) as progress:
        for _ in range(3):
            eventually("it makes progress", progress.made_progress)


def test_logging_is_progress(tmp_path: Path) -> None:
    program = "while True: time.sleep(0.3); os.write(2, b'.')"
    with start(program, tmp_path / "log") as progress:
        for _ in range(3):
            eventually("it makes progress", progress.made_progress)


def test_growing_device_memory_is_progress() -> None:
    with start("time.sleep(3600)") as progress:
        eventually("it is silent", lambda: not progress.made_progress())
        assert progress.made_progress(device_bytes=300 * MIB)
        assert not progress.made_progress(device_bytes=300 * MIB)


def test_an_ended_start_makes_no_progress() -> None:
    with start("sys.exit()") as progress:
        process = psutil.Process(progress.pid)
        eventually("it has ended", lambda: not is_running(process))
        eventually("what it did before is known", lambda: not progress.made_progress())
        assert not progress.made_progress()
