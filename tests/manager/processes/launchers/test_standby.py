"""Workers born early: used when one is asked for, kept in number, and never born in a hot loop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from manager.processes.launchers.standby import StandbyKey
from tests.support.spawning import CPU, Births, eventually, fake, runs

PLAIN = StandbyKey.of(fake(), ())
BROKEN = StandbyKey(python="/bin/false", env=(), imports=("torch",))
"""Whose births always fail."""


@pytest.fixture
async def births(tmp_path: Path) -> AsyncIterator[Births]:
    births = Births(tmp_path)
    yield births
    await births.local.close()


def waiting(births: Births) -> list[int]:
    """The pids of the standbys that have reported born."""
    return [standby["pid"] for standby in births.local.standbys.status() if standby.get("born")]


async def test_a_standby_becomes_the_worker(births: Births) -> None:
    (births.home / "logs").mkdir()
    (births.home / "logs" / "m.log").write_text("history\n")
    births.local.standbys.keep({PLAIN: 1})
    (pid,) = await eventually("one is born", lambda: waiting(births))
    worker = await births.worker()
    assert (worker.pid, worker.from_standby) == (pid, True)
    await worker.ready()
    assert births.known()[worker.uuid]["name"] == "m#1"
    assert worker.log_path.read_text().startswith("history\n")
    assert "m#1" in worker.log_tail()
    assert "history" not in worker.log_tail()
    assert os.listdir(births.home / "logs") == ["m.log"]
    assert births.local.standbys.status() == [], "its place stays empty until the pool says that all is calm"
    births.local.standbys.keep({PLAIN: 1})
    await eventually("the next one is born", lambda: waiting(births))
    await worker.stop(5)


async def test_one_that_still_imports_is_used_rather_than_a_second_birth(births: Births) -> None:
    standbys = births.local.standbys
    standbys.keep({PLAIN: 1})
    (early,) = await eventually("one is under way", standbys.status)
    assert not early["born"]
    worker = await births.worker()
    assert (worker.pid, worker.from_standby) == (early["pid"], True)
    await worker.ready()
    await worker.stop(5)


async def test_the_one_that_is_furthest_is_taken(births: Births) -> None:
    standbys = births.local.standbys
    standbys.keep({PLAIN: 2})
    (first,) = await eventually("one is born", lambda: waiting(births))
    await eventually("a second one is under way", lambda: len(standbys.status()) == 2)
    worker = await births.worker()
    assert worker.pid == first
    await worker.stop(0)


async def test_a_standby_is_only_for_those_that_share_interpreter_environment_and_imports(births: Births) -> None:
    births.local.standbys.keep({PLAIN: 1})
    (pid,) = await eventually("one is born", lambda: waiting(births))
    other = fake().model_copy(update={"env": {"OMP_NUM_THREADS": "1"}})
    worker = await births.local.start(other, CPU, "m#1", births.reports.append)
    assert not worker.from_standby
    assert waiting(births) == [pid]
    await worker.stop(0)


async def test_those_that_are_not_wanted_any_more_go(births: Births) -> None:
    births.local.standbys.keep({PLAIN: 2})
    pids = await eventually("two are born", lambda: len(waiting(births)) == 2 and waiting(births))
    births.local.standbys.keep({PLAIN: 1})
    await eventually("one has gone", lambda: [runs(pid) for pid in pids].count(True) == 1)
    births.local.standbys.keep({})
    await eventually("both have gone", lambda: not any(runs(pid) for pid in pids))
    await eventually("nothing is left of them", lambda: births.known() == {} and not os.listdir(births.home / "logs"))


async def test_closing_ends_all_in_the_middle_of_a_birth_too(births: Births) -> None:
    births.local.standbys.keep({PLAIN: 2})
    await eventually("one is born", lambda: waiting(births))
    await births.local.close()
    assert births.known() == {}
    assert not [p for p in psutil.Process().children() if "workers" in " ".join(p.cmdline()) and runs(p.pid)]


async def test_none_is_born_while_a_worker_starts(births: Births) -> None:
    gate = births.home / "gate"
    worker = await births.worker(load_gate=str(gate))
    births.local.standbys.keep({PLAIN: 1})
    reported = await eventually("it is loading", lambda: "m#1" in worker.log_tail())
    assert reported
    assert births.local.standbys.status() == []
    gate.touch()
    await worker.ready()
    await eventually("now one is born", lambda: waiting(births))
    await worker.stop(0)


async def test_a_start_that_fails_does_not_keep_standbys_from_being_born(births: Births) -> None:
    worker = await births.worker(crash_at_load=1)
    births.local.standbys.keep({PLAIN: 1})
    await worker.wait()
    await eventually("one is born", lambda: waiting(births))
    await worker.stop(0)


async def test_what_cannot_be_born_is_told_and_tried_again_later_not_at_once(births: Births) -> None:
    standbys = births.local.standbys
    standbys.keep({BROKEN: 1, PLAIN: 1})
    await eventually("the other is born all the same", lambda: waiting(births))
    (failing,) = [standby for standby in standbys.status() if "failures" in standby]
    assert failing["failures"] == 1
    assert failing["imports"] == ["torch"]
    assert "exit code 1" in failing["reason"]
    for _ in range(20):
        standbys.keep({BROKEN: 1, PLAIN: 1})
        await asyncio.sleep(0)
    (failing,) = [standby for standby in standbys.status() if "failures" in standby]
    assert failing["failures"] == 1
    await eventually("it is tried again by itself", lambda: standbys.status()[-1].get("failures") == 2)
    assert 2 < standbys.status()[-1]["retry_in"] <= 4, "and after a longer while each time"


async def test_one_that_dies_while_it_waits_is_noticed_and_replaced(births: Births) -> None:
    standbys = births.local.standbys
    standbys.keep({PLAIN: 1})
    (pid,) = await eventually("one is born", lambda: waiting(births))
    os.kill(pid, signal.SIGKILL)
    failing = await eventually("it is noticed", lambda: [s for s in standbys.status() if s.get("failures")])
    assert "exit code -9" in failing[0]["reason"]
    (other,) = await eventually("another is born", lambda: waiting(births))
    assert other != pid
