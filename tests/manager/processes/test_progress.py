"""A start that does anything is moving; one that only waits is silent."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.process_tree import MARK
from manager.processes.progress import GROWN_BYTES, MOVED_BYTES, Progress, Signs, higher, is_moving

MIB = 1 << 20
MARKED = Signs(time=100, log=10, cpu=5.0, moved=1000, resident=50 * MIB, device=0)


@pytest.mark.parametrize(
    ("change", "moving"),
    [
        ({}, False),
        ({"log": 11}, True),
        ({"log": 3}, True),  # rotated
        ({"cpu": 5.02}, False),  # a timer's work, and the clock's grain
        ({"cpu": 5.5}, True),
        ({"moved": 1000 + MOVED_BYTES - 1}, False),
        ({"moved": 1000 + MOVED_BYTES}, True),
        ({"resident": 50 * MIB + GROWN_BYTES - 1}, False),
        ({"resident": 50 * MIB + GROWN_BYTES}, True),
        ({"resident": MIB}, False),
        ({"device": GROWN_BYTES}, True),
    ],
)
def test_one_sign_is_enough_and_trifles_are_none(change: dict[str, float], moving: bool) -> None:
    assert is_moving(MARKED, MARKED, replace(MARKED, time=101, **change)) is moving


@given(st.floats(0.5, 10), st.integers(1, 500))
def test_a_process_that_only_wakes_up_now_and_then_stays_silent(every: float, looks: int) -> None:
    """However long it lasts: idle CPU time does not add up to progress."""
    last = MARKED
    for _ in range(looks):
        now = replace(last, time=last.time + every, cpu=last.cpu + 0.01 * every)
        assert not is_moving(MARKED, last, now)
        last = now


def test_slow_growth_adds_up_until_it_counts() -> None:
    grown = [replace(MARKED, time=100 + n, moved=1000 + n * MOVED_BYTES // 4) for n in range(9)]
    assert [is_moving(MARKED, last, now) for last, now in itertools.pairwise(grown)][:4] == [False, False, False, True]


def test_memory_that_comes_and_goes_is_no_progress() -> None:
    mark, moves = MARKED, 0
    for n in range(20):
        now = replace(MARKED, time=101 + n, resident=(90 if n % 2 else 40) * MIB)
        if is_moving(mark, now, now):
            mark, moves = higher(mark, now), moves + 1
    assert moves == 1


@contextmanager
def start(program: str, log: Path = Path(os.devnull)) -> Iterator[Progress]:
    """A real start: `program` runs after a line on stdin, so that what Python itself does lies before."""
    name = uuid.uuid4().hex
    code = f"import sys, time, os\nprint('born', flush=True)\nsys.stdin.readline()\n{program}"
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-u", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, MARK: name},
            start_new_session=True,
        )
    assert child.stdin
    assert child.stdout
    try:
        child.stdout.readline()
        progress = Progress(child.pid, name, log)
        progress.moved()
        child.stdin.write(b"\n")
        child.stdin.flush()
        yield progress
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_a_start_that_sleeps_is_silent() -> None:
    with start("while True: time.sleep(0.05)") as progress:
        within(5, lambda: not progress.moved())  # the first line that it read
        assert not within(1.5, progress.moved)


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("while True: pass", id="computes"),
        pytest.param("f = open('/dev/zero', 'rb')\nwhile f.read(100_000): time.sleep(0.05)", id="reads"),
        pytest.param("a = []\nwhile True: a.append(b'x' * 500_000); time.sleep(0.05)", id="grows"),
        pytest.param("import subprocess; subprocess.run([sys.executable, '-c', 'while True: pass'])", id="delegates"),
    ],
)
def test_a_start_that_does_something_is_moving_and_goes_on_moving(program: str) -> None:
    with start(program) as progress:
        assert all(within(10, progress.moved) for _ in range(3))


def test_a_start_that_logs_is_moving(tmp_path: Path) -> None:
    program = "while True: time.sleep(0.3); os.write(2, b'.')"
    with start(program, tmp_path / "log") as progress:
        assert all(within(10, progress.moved) for _ in range(3))


def test_device_memory_that_grows_is_progress() -> None:
    with start("time.sleep(60)") as progress:
        within(5, lambda: not progress.moved())
        assert progress.moved(device_bytes=300 * MIB)
        assert not progress.moved(device_bytes=300 * MIB)


def test_a_start_that_has_ended_does_not_move() -> None:
    with start("sys.exit()") as progress:
        assert within(10, lambda: not progress.moved())
        assert not progress.moved()
