"""Our own workers as the manager sees them: births, reports, ends, and logs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest
import uvloop

from manager import process_tree
from manager.processes.launchers import LoadFailure
from manager.processes.launchers.local import LocalProcess
from manager.processes.launchers.logs import LARGEST
from tests.support.spawning import CPU, Births, eventually, fake, runs


@pytest.fixture
async def births(tmp_path: Path) -> AsyncIterator[Births]:
    births = Births(tmp_path)
    yield births
    await births.local.close()


async def embed(worker: LocalProcess, token: str | None = None, text: str = "hello") -> int:
    """The status of a call."""
    headers = {"authorization": f"Bearer {worker.token if token is None else token}"}
    body = {"model": "m", "input": text}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{worker.url}/v1/embeddings", json=body, headers=headers) as response,
    ):
        return response.status


async def live(births: Births) -> None:
    """One whole life."""
    worker = await births.worker("org/name")
    await worker.ready()
    assert (await embed(worker), await embed(worker, "guess")) == (200, 401)
    assert worker.features == ["images", "languages"]
    assert worker.tasks == ["analyze", "caption", "chat", "embeddings", "image-generation", "ocr"]
    assert not worker.from_standby
    assert worker.log_path == births.home / "logs" / "org_name.log"
    assert births.known()[worker.uuid]["name"] == "org/name#1"
    assert births.known()[worker.uuid]["pid"] == worker.pid
    await worker.stop(10)
    assert await worker.wait() == worker.exit_code == 0, "it was asked, and ended in order"
    assert not psutil.pid_exists(worker.pid), "not even a zombie is left"
    assert births.known() == {}
    assert "org/name#1" in worker.log_tail()


async def test_a_worker_is_born_serves_and_goes(births: Births) -> None:
    await live(births)


def test_the_same_under_the_event_loop_of_the_manager(tmp_path: Path) -> None:
    async def all_of_it() -> None:
        births = Births(tmp_path)
        await live(births)
        await births.local.close()

    uvloop.run(all_of_it())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"fail_at_load": "No weights."}, LoadFailure("No weights.", certain=True, exit_code=3)),
        ({"oom_at_load": True}, LoadFailure("out of memory", out_of_memory=True, exit_code=3)),
        ({"crash_at_load": 7}, LoadFailure("exit code 7 while starting", certain=True, exit_code=7)),
    ],
)
async def test_a_load_that_fails_says_why(births: Births, options: dict[str, object], expected: LoadFailure) -> None:
    worker = await births.worker(**options)
    with pytest.raises(LoadFailure) as caught:
        await worker.ready()
    failure = caught.value
    assert expected.message in failure.message
    assert str(failure) == failure.message
    assert failure.out_of_memory is expected.out_of_memory
    assert failure.exit_code == expected.exit_code
    if not expected.out_of_memory:
        assert failure.certain is expected.certain
    assert await worker.wait() == expected.exit_code
    await worker.stop(1)


async def test_who_ends_without_a_word_is_quoted_from_its_log(births: Births) -> None:
    worker = await births.worker(crash_at_load=7)
    with pytest.raises(LoadFailure, match=r"it wrote last: .*crashing at load, as told"):
        await worker.ready()
    await worker.stop(0)


async def test_a_death_by_signal_while_loading_is_not_certain_to_come_again(births: Births) -> None:
    worker = await births.worker(silent_load=True, fork_grandchild="child")
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(LoadFailure, match=r"signal 9 \(Killed\)") as caught:
        await worker.ready()
    assert caught.value.certain is False
    assert caught.value.exit_code == -9
    await worker.stop(0)


async def test_running_out_of_memory_in_a_call_is_reported(births: Births) -> None:
    worker = await births.worker(oom_on_prompt="too much")
    await worker.ready()
    assert await embed(worker, text="too much") == 503
    await eventually("the report is in", lambda: births.reports == [{"event": "out_of_memory"}])
    await worker.stop(5)


async def test_reports_that_nobody_understands_break_nothing(births: Births, caplog: pytest.LogCaptureFixture) -> None:
    worker = await births.worker(load_gate=str(births.home / "gate"))
    for line in (b"nonsense\n", b"[]\n", b'{"no": "event"}\n'):
        worker._heard(line)
    (births.home / "gate").touch()
    await worker.ready()
    assert "nonsense" in caplog.text
    await worker.stop(5)


async def test_who_ignores_every_request_to_end_is_killed_with_all_it_started(births: Births) -> None:
    worker = await births.worker(ignore_term=True, fork_grandchild="setsid")
    await worker.ready()
    pids = [process.pid for process in process_tree.escaped(worker.uuid)]
    assert len(pids) == 2
    await worker.stop(0.2)
    assert worker.exit_code == -9
    assert not [pid for pid in pids if runs(pid)]
    assert births.known() == {}


@pytest.mark.parametrize("grandchild", ["child", "setsid"])
async def test_a_crash_takes_grandchildren_along(births: Births, grandchild: str) -> None:
    worker = await births.worker(fork_grandchild=grandchild)
    await worker.ready()
    pids = [process.pid for process in process_tree.escaped(worker.uuid)]
    os.kill(worker.pid, signal.SIGKILL)
    assert await worker.wait() == -9
    await worker.stop(10)
    assert not [pid for pid in pids if runs(pid)]


async def test_a_silent_load_can_be_ended(births: Births) -> None:
    worker = await births.worker(silent_load=True)
    ready = asyncio.create_task(worker.ready())
    await worker.stop(0.2)
    with pytest.raises(LoadFailure):
        await ready


async def test_to_stop_is_safe_at_once_again_and_by_somebody_who_is_cancelled(births: Births) -> None:
    worker = await births.worker()
    await worker.ready()
    impatient = asyncio.create_task(worker.stop(10))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(worker.stop(10), worker.stop(10))
    assert worker.exit_code == 0, "TERM came once: a second one would have cut it short"
    await worker.stop(10)


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
async def test_a_birth_that_is_called_off_leaves_nothing(births: Births, turns: int) -> None:
    start = asyncio.create_task(births.worker(fork_grandchild="setsid"))
    for _ in range(turns):
        await asyncio.sleep(0)
    start.cancel()
    try:
        worker = await start
    except asyncio.CancelledError:
        assert births.known() == {}
        assert not list((births.home / "logs").glob("standby-*"))
    else:
        await worker.stop(0)
    mine = [p for p in psutil.Process().children() if "workers" in " ".join(p.cmdline()) and runs(p.pid)]
    assert mine == []


async def test_an_interpreter_that_is_not_there_is_told_at_once(births: Births) -> None:
    spec = fake().model_copy(update={"python": "/no/such/python"})
    with pytest.raises(LoadFailure, match=r"/no/such/python cannot be run: .*No such file") as caught:
        await births.local.start(spec, CPU, "m#1", births.reports.append)
    assert caught.value.certain


async def test_an_environment_that_is_not_there_is_told_with_how_to_make_it(births: Births) -> None:
    spec = fake().model_copy(update={"python": "/house/data/envs/depth-anything-3/bin/python"})
    with pytest.raises(LoadFailure, match=r"cannot be run: .*\. Run `make env-depth-anything-3` first\.$"):
        await births.local.start(spec, CPU, "m#1", births.reports.append)


async def test_a_worker_gets_its_entrys_environment_and_not_our_keys(
    births: Births, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "secret")
    monkeypatch.setenv("PORT", "8000")
    spec = fake().model_copy(
        update={"env": {"OMP_NUM_THREADS": "1", "PYTHONPATH": "/elsewhere"}, "python": sys.executable}
    )
    worker = await births.local.start(spec, CPU, "m#1", births.reports.append)
    await worker.ready()
    environ = psutil.Process(worker.pid).environ()
    assert environ["OMP_NUM_THREADS"] == "1"
    assert environ["PYTHONPATH"].endswith(":/elsewhere")
    assert not {"GATEWAY_API_KEY", "PORT"} & set(environ)
    await worker.stop(5)


async def test_a_log_is_kept_over_restarts_and_rotated_when_it_has_grown(births: Births) -> None:
    logs = births.home / "logs"
    logs.mkdir()
    (logs / "m.log").write_bytes(b"x" * (LARGEST + 1))
    for number in (1, 2):
        worker = await births.worker(number=number)
        await worker.ready()
        await worker.stop(5)
        assert f"m#{number}" in worker.log_tail()
        assert "x" not in worker.log_tail()
    assert (logs / "m.log.1").stat().st_size == LARGEST + 1
    text = (logs / "m.log").read_text()
    assert text.index("m#1") < text.index("m#2")
    assert "m#1" not in worker.log_tail(), "the tail is the worker's own"


async def test_two_living_workers_never_share_a_log(births: Births) -> None:
    first, second = await births.worker(number=1), await births.worker(number=2)
    program = await births.worker("manager")
    await asyncio.gather(first.ready(), second.ready(), program.ready())
    names = [worker.log_path.name for worker in (first, second, program)]
    assert names == ["m.log", "m.2.log", "manager.2.log"]
    await asyncio.gather(*(worker.stop(5) for worker in (first, second, program)))
