"""Our own workers as the manager sees them: starts, reports, stops, and logs."""

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

from contract.config import LogSettings
from manager import process_tree
from manager.processes.launchers.local import LocalProcess
from manager.state.process import LoadFailure
from tests.support.spawning import CPU, PATIENCE, Launchers, eventually, fake, running_workers, runs


@pytest.fixture
async def launchers(tmp_path: Path) -> AsyncIterator[Launchers]:
    launchers = Launchers(tmp_path)
    yield launchers
    await launchers.local.close()


async def embed(worker: LocalProcess, token: str | None = None, text: str = "hello") -> int:
    """The status of a call."""
    headers = {"authorization": f"Bearer {worker.token if token is None else token}"}
    body = {"model": "m", "input": text}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{worker.url}/v1/embeddings", json=body, headers=headers) as response,
    ):
        return response.status


async def start_serve_and_stop(launchers: Launchers) -> None:
    """One worker from its start to its end."""
    worker = await launchers.start("org/name")
    try:
        await worker.ready()
        assert (await embed(worker), await embed(worker, "guess")) == (200, 401)
        assert worker.features == ["images", "languages"]
        assert (worker.facts.context_length, worker.facts.dimensions) == (4096, 16)
        assert worker.tasks == [
            "analyze",
            "caption",
            "chat",
            "completions",
            "embeddings",
            "image-generation",
            "ocr",
            "rerank",
        ]
        assert not worker.from_standby
        assert worker.log_path == launchers.home / "logs" / "org_name.log"
        assert launchers.recorded()[worker.uuid]["name"] == "org/name#1"
        assert launchers.recorded()[worker.uuid]["pid"] == worker.pid
    finally:  # a worker that runs on would keep the loop from closing
        await worker.stop(PATIENCE)
    assert await worker.wait() == worker.exit_code == 0, "it was asked to shut down, and did"
    assert not psutil.pid_exists(worker.pid), "not even a zombie is left"
    assert launchers.recorded() == {}
    assert "org/name#1" in worker.log_tail()


async def test_a_worker_starts_serves_and_stops(launchers: Launchers) -> None:
    await start_serve_and_stop(launchers)


def test_a_worker_starts_serves_and_stops_under_uvloop(tmp_path: Path) -> None:
    async def main() -> None:
        launchers = Launchers(tmp_path)
        await start_serve_and_stop(launchers)
        await launchers.local.close()

    uvloop.run(main())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"fail_at_load": "No weights."}, LoadFailure("No weights.", certain=True, exit_code=3)),
        ({"oom_at_load": True}, LoadFailure("out of memory", out_of_memory=True, exit_code=3)),
        ({"crash_at_load": 7}, LoadFailure("exit code 7 while starting", certain=True, exit_code=7)),
    ],
)
async def test_a_failed_load_reports_why(
    launchers: Launchers, options: dict[str, object], expected: LoadFailure
) -> None:
    worker = await launchers.start(**options)
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


async def test_an_exit_without_a_report_quotes_the_log(launchers: Launchers) -> None:
    worker = await launchers.start(crash_at_load=7)
    with pytest.raises(LoadFailure, match=r"its last line was: .*crashing at load, as configured"):
        await worker.ready()
    await worker.stop(0)


async def test_a_signal_while_loading_may_be_retried(launchers: Launchers) -> None:
    worker = await launchers.start(silent_load=True, fork_grandchild="child")
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(LoadFailure, match=r"signal 9 \(Killed\)") as caught:
        await worker.ready()
    assert caught.value.certain is False
    assert caught.value.exit_code == -9
    await worker.stop(0)


async def test_out_of_memory_in_a_request_is_reported(launchers: Launchers) -> None:
    worker = await launchers.start(oom_on_prompt="too much")
    await worker.ready()
    assert await embed(worker, text="too much") == 503
    await eventually("the report has arrived", lambda: launchers.reports == [{"event": "out_of_memory"}])
    await worker.stop(5)


async def test_invalid_reports_are_logged_and_ignored(launchers: Launchers, caplog: pytest.LogCaptureFixture) -> None:
    worker = await launchers.start(load_gate=str(launchers.home / "gate"))
    for line in (b"nonsense\n", b"[]\n", b'{"no": "event"}\n'):
        worker._handle_line(line)
    (launchers.home / "gate").touch()
    await worker.ready()
    assert "nonsense" in caplog.text
    await worker.stop(5)


async def test_a_worker_that_ignores_term_is_killed_with_its_tree(launchers: Launchers) -> None:
    worker = await launchers.start(ignore_term=True, fork_grandchild="setsid")
    await worker.ready()
    pids = [process.pid for process in process_tree.marked(worker.uuid)]
    assert len(pids) == 2
    await worker.stop(0.2)
    assert worker.exit_code == -9
    assert not [pid for pid in pids if runs(pid)]
    assert launchers.recorded() == {}


@pytest.mark.parametrize("grandchild", ["child", "setsid"])
async def test_a_crash_ends_grandchildren_too(launchers: Launchers, grandchild: str) -> None:
    worker = await launchers.start(fork_grandchild=grandchild)
    await worker.ready()
    pids = [process.pid for process in process_tree.marked(worker.uuid)]
    os.kill(worker.pid, signal.SIGKILL)
    assert await worker.wait() == -9
    await worker.stop(PATIENCE)
    assert not [pid for pid in pids if runs(pid)]


async def test_a_silent_load_can_be_stopped(launchers: Launchers) -> None:
    worker = await launchers.start(silent_load=True)
    ready = asyncio.create_task(worker.ready())
    await worker.stop(0.2)
    with pytest.raises(LoadFailure):
        await ready


async def test_stop_may_be_repeated_and_cancelled(launchers: Launchers) -> None:
    worker = await launchers.start()
    await worker.ready()
    cancelled = asyncio.create_task(worker.stop(PATIENCE))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(worker.stop(PATIENCE), worker.stop(PATIENCE))
    assert worker.exit_code == 0, "TERM was sent once: a second one would have ended it at once"
    await worker.stop(PATIENCE)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
async def test_a_cancelled_start_leaves_nothing(launchers: Launchers, steps: int) -> None:
    start = asyncio.create_task(launchers.start(fork_grandchild="setsid"))
    for _ in range(steps):
        await asyncio.sleep(0)
    start.cancel()
    try:
        worker = await start
    except asyncio.CancelledError:
        assert launchers.recorded() == {}
        assert not list((launchers.home / "logs").glob("standby-*"))
    else:
        await worker.stop(0)
    assert not running_workers()


async def test_a_missing_interpreter_is_reported_at_once(launchers: Launchers) -> None:
    spec = fake().model_copy(update={"python": "/no/such/python"})
    with pytest.raises(
        LoadFailure, match=r"^/no/such/python cannot be run: No such .*\. Correct the entry's `python`\.$"
    ) as caught:
        await launchers.local.start(spec, CPU, "m#1", launchers.reports.append)
    assert caught.value.certain


async def test_a_missing_environment_is_reported_with_a_hint(launchers: Launchers) -> None:
    spec = fake().model_copy(update={"python": "/somewhere/data/envs/depth-anything-3/bin/python"})
    with pytest.raises(LoadFailure, match=r"cannot be run: .*\. Run `make env-depth-anything-3` first\.$"):
        await launchers.local.start(spec, CPU, "m#1", launchers.reports.append)


async def test_a_worker_gets_its_entrys_variables_and_no_keys(
    launchers: Launchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", "secret")
    monkeypatch.setenv("PORT", "8000")
    spec = fake().model_copy(
        update={"env": {"OMP_NUM_THREADS": "3", "PYTHONPATH": "/elsewhere"}, "python": sys.executable}
    )
    worker = await launchers.local.start(spec, CPU, "m#1", launchers.reports.append)
    await worker.ready()
    environ = psutil.Process(worker.pid).environ()
    assert environ["OMP_NUM_THREADS"] == "3"
    assert environ["PYTHONPATH"].endswith(":/elsewhere")
    assert not {"GATEWAY_API_KEY", "PORT"} & set(environ)
    await worker.stop(5)


async def test_a_log_is_kept_over_restarts_and_rotated(launchers: Launchers) -> None:
    logs = launchers.home / "logs"
    logs.mkdir()
    (logs / "m.log").write_bytes(b"x" * LogSettings().max_bytes)
    for number in (1, 2):
        worker = await launchers.start(number=number)
        await worker.ready()
        await worker.stop(5)
        assert f"m#{number}" in worker.log_tail()
        assert "x" not in worker.log_tail()
    assert (logs / "m.log.1").stat().st_size == LogSettings().max_bytes
    text = (logs / "m.log").read_text()
    assert text.index("m#1") < text.index("m#2")
    assert "m#1" not in worker.log_tail(), "the tail holds this worker's lines only"


async def test_two_running_workers_never_share_a_log(launchers: Launchers) -> None:
    first, second = await launchers.start(number=1), await launchers.start(number=2)
    program = await launchers.start("manager")
    await asyncio.gather(first.ready(), second.ready(), program.ready())
    names = [worker.log_path.name for worker in (first, second, program)]
    assert names == ["m.log", "m.2.log", "manager.2.log"]
    await asyncio.gather(*(worker.stop(5) for worker in (first, second, program)))
