"""Standbys: used for matching starts, kept in number, and never started in a hot loop."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from contract.config import ModelSpec
from manager.processes.launchers import standby
from manager.processes.launchers.local import LocalProcess
from manager.processes.launchers.standby import StandbyKey, Standbys
from manager.state.process import LoadFailure
from tests.support.spawning import CPU, Launchers, eventually, fake, running_workers, runs
from tests.support.virtual_clock import VirtualLoop

PLAIN = StandbyKey.of(fake(), ())
BROKEN = StandbyKey(python="/bin/false", env=(), imports=("torch",))
"""Its standbys always end at once."""


@pytest.fixture
async def launchers(tmp_path: Path) -> AsyncIterator[Launchers]:
    launchers = Launchers(tmp_path)
    yield launchers
    await launchers.local.close()


def waiting(launchers: Launchers) -> list[int]:
    """The pids of the standbys that have started."""
    return [standby["pid"] for standby in launchers.local.standbys.status() if standby.get("born")]


async def test_a_standby_becomes_the_worker(launchers: Launchers) -> None:
    (launchers.home / "logs").mkdir()
    (launchers.home / "logs" / "m.log").write_text("history\n")
    launchers.local.standbys.keep({PLAIN: 1})
    (pid,) = await eventually("one has started", lambda: waiting(launchers))
    worker = await launchers.start()
    assert (worker.pid, worker.from_standby) == (pid, True)
    await worker.ready()
    assert launchers.recorded()[worker.uuid]["name"] == "m#1"
    assert worker.log_path.read_text().startswith("history\n")
    assert "m#1" in worker.log_tail()
    assert "history" not in worker.log_tail()
    assert os.listdir(launchers.home / "logs") == ["m.log"]
    assert launchers.local.standbys.status() == [], "it is not replaced before the next call of `keep`"
    launchers.local.standbys.keep({PLAIN: 1})
    await eventually("the next one has started", lambda: waiting(launchers))
    await worker.stop(5)


@pytest.fixture
async def importing(tmp_path: Path) -> AsyncIterator[Launchers]:
    """Launchers whose workers import `gated`."""
    launchers = Launchers(tmp_path, imports=("gated",))
    yield launchers
    await launchers.local.close()


def gated(folder: Path, code: str) -> ModelSpec:
    """An entry whose workers run this code when they import `gated`."""
    (folder / "gated.py").write_text(code)
    return ModelSpec(id="m", engine="fake", env={"PYTHONPATH": str(folder)})


async def test_a_standby_that_still_imports_is_used(importing: Launchers, tmp_path: Path) -> None:
    gate, launchers = tmp_path / "gate", importing
    spec = gated(tmp_path, f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.01)")
    standbys = launchers.local.standbys
    standbys.keep({StandbyKey.of(spec, ("gated",)): 1})
    (early,) = await eventually("one is under way", standbys.status)
    assert not early["born"]
    worker = await launchers.local.start(spec, CPU, "m#1", launchers.reports.append)
    assert (worker.pid, worker.from_standby) == (early["pid"], True)
    gate.touch()
    await worker.ready()
    await worker.stop(5)


async def test_a_started_standby_is_preferred(importing: Launchers, tmp_path: Path) -> None:
    launchers, only_first = importing, f"try: os.mkdir({str(tmp_path / 'taken')!r})"
    spec = gated(tmp_path, f"import os, time\n{only_first}\nexcept FileExistsError: time.sleep(1e5)")
    standbys = launchers.local.standbys
    standbys.keep({StandbyKey.of(spec, ("gated",)): 2})
    (first,) = await eventually("one has started", lambda: waiting(launchers))
    await eventually("a second one is under way", lambda: len(standbys.status()) == 2)
    worker = await launchers.local.start(spec, CPU, "m#1", launchers.reports.append)
    assert worker.pid == first
    await worker.stop(0)


async def test_a_standby_is_used_only_for_an_equal_key(launchers: Launchers) -> None:
    launchers.local.standbys.keep({PLAIN: 1})
    (pid,) = await eventually("one has started", lambda: waiting(launchers))
    other = fake().model_copy(update={"env": {"OMP_NUM_THREADS": "1"}})
    worker = await launchers.local.start(other, CPU, "m#1", launchers.reports.append)
    assert not worker.from_standby
    assert waiting(launchers) == [pid]
    await worker.stop(0)


async def test_surplus_standbys_are_stopped(launchers: Launchers) -> None:
    launchers.local.standbys.keep({PLAIN: 2})
    pids = await eventually("two have started", lambda: len(waiting(launchers)) == 2 and waiting(launchers))
    launchers.local.standbys.keep({PLAIN: 1})
    await eventually("one has ended", lambda: [runs(pid) for pid in pids].count(True) == 1)
    launchers.local.standbys.keep({})
    await eventually("both have ended", lambda: not any(runs(pid) for pid in pids))
    await eventually(
        "nothing is left of them", lambda: launchers.recorded() == {} and not os.listdir(launchers.home / "logs")
    )


async def test_close_stops_standbys_even_while_one_starts(launchers: Launchers) -> None:
    launchers.local.standbys.keep({PLAIN: 2})
    await eventually("one has started", lambda: waiting(launchers))
    await launchers.local.close()
    assert launchers.recorded() == {}
    assert not running_workers()


async def test_no_standby_starts_while_a_worker_starts(launchers: Launchers) -> None:
    gate = launchers.home / "gate"
    worker = await launchers.start(load_gate=str(gate))
    launchers.local.standbys.keep({PLAIN: 1})
    await eventually("it is loading", lambda: "m#1" in worker.log_tail())
    assert launchers.local.standbys.status() == []
    gate.touch()
    await worker.ready()
    await eventually("now one has started", lambda: waiting(launchers))
    await worker.stop(0)


async def test_standbys_start_after_a_failed_worker_start(launchers: Launchers) -> None:
    worker = await launchers.start(crash_at_load=1)
    launchers.local.standbys.keep({PLAIN: 1})
    await worker.wait()
    await eventually("one has started", lambda: waiting(launchers))
    await worker.stop(0)


async def test_a_failing_standby_is_reported_and_delays_no_other(launchers: Launchers) -> None:
    standbys = launchers.local.standbys
    standbys.keep({BROKEN: 1, PLAIN: 1})
    await eventually("the other one has started", lambda: waiting(launchers))
    (failing,) = await eventually(
        "it is between two attempts", lambda: [s for s in standbys.status() if "failures" in s]
    )
    assert failing["imports"] == ["torch"]
    assert "exit code 1" in failing["reason"]


def test_a_failing_standby_is_retried_with_growing_delays() -> None:
    loop = VirtualLoop()
    attempts: list[float] = []

    async def launch(key: StandbyKey) -> LocalProcess:
        attempts.append(loop.time())
        raise LoadFailure("there is no such interpreter")

    async def keep() -> None:
        for _ in range(20):  # must not retry at once
            standbys.keep({BROKEN: 1})
            await asyncio.sleep(0)

    standbys = Standbys(launch)
    loop.run_until_complete(keep())
    loop.settle()
    assert len(attempts) == 1
    loop.advance(70)
    assert [later - earlier for earlier, later in itertools.pairwise(attempts)] == [2, 4, 8, 16, 32]
    loop.run_until_complete(standbys.close())
    loop.close()


async def test_a_standby_that_dies_is_replaced(launchers: Launchers) -> None:
    standbys = launchers.local.standbys
    standbys.keep({PLAIN: 1})
    (pid,) = await eventually("one has started", lambda: waiting(launchers))
    os.kill(pid, signal.SIGKILL)
    failing = await eventually("it is noticed", lambda: [s for s in standbys.status() if s.get("failures")])
    assert "exit code -9" in failing[0]["reason"]
    (other,) = await eventually("another one has started", lambda: waiting(launchers))
    assert other != pid


async def test_a_suspended_standby_is_not_used(launchers: Launchers) -> None:
    standbys = launchers.local.standbys
    standbys.keep({PLAIN: 1})
    (pid,) = await eventually("one has started", lambda: waiting(launchers))
    os.kill(pid, signal.SIGSTOP)
    await eventually("it is suspended", lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    worker = await launchers.start()
    assert not worker.from_standby
    await worker.stop(0)


async def test_a_standby_whose_imports_hang_delays_no_other(
    launchers: Launchers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hanging.py").write_text("import time; time.sleep(1e5)")
    monkeypatch.setattr(standby, "IMPORT_SILENCE", 2.0)
    spec = ModelSpec(id="m", engine="fake", env={"PYTHONPATH": str(tmp_path)})
    launchers.local.standbys.keep({StandbyKey.of(spec, ("hanging",)): 1, PLAIN: 1})
    await eventually("the other one has started", lambda: waiting(launchers))
    assert "its imports showed no activity for 2 s" in caplog.text
