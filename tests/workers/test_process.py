"""The life of a worker process: started, assigned, ready or failed, and killed when its manager is gone."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import worker_process
from tests.support.worker_process import NotReady, Worker


@pytest.fixture
def idle() -> Iterator[Worker]:
    """A worker without an assignment."""
    worker = Worker()
    yield worker
    worker.close()


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while alive := [pid for pid in pids if _is_alive(pid)]:
        assert time.monotonic() < deadline, f"still alive: {alive}"
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_starts_without_a_model_and_serves_the_assigned_one(idle: Worker) -> None:
    idle.wait_for("started")
    idle.assign({"engine": "fake"})
    assert idle.wait_for("ready")["features"] == ["images", "languages"]
    assert idle.post("/v1/embeddings", {"input": "x"}).status_code == 200


def test_imports_before_started_and_only_logs_missing_modules() -> None:
    worker = Worker("fractions,concurrent.futures:ThreadPoolExecutor,no_such_module")
    with contextlib.closing(worker):
        worker.wait_for("started")
        assert "cannot import no_such_module" in worker.log()
        worker.assign({"engine": "fake"})
        worker.wait_for("ready")


def test_sets_the_environment_before_loading(idle: Worker) -> None:
    idle.assign(
        {"engine": "fake", "options": {"fork_grandchild": "child"}}, environment={"CUDA_VISIBLE_DEVICES": "GPU-7"}
    )
    idle.wait_for("ready")
    [grandchild] = psutil.Process(idle.process.pid).children()
    deadline = time.monotonic() + 30
    while grandchild.environ().get("CUDA_VISIBLE_DEVICES") != "GPU-7":  # it may still be between fork and exec
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("entry", "message", "certain", "out_of_memory"),
    [
        ({"options": {"fail_at_load": "There is no such model."}}, "There is no such model.", True, False),
        ({"options": {"oom_at_load": True}}, "MemoryError: out of memory at load", False, True),
        ({"options": {"no_such_option": 1}}, "no_such_option", True, False),
        ({"engine": "no_such_engine", "source": "x"}, "unknown engine 'no_such_engine'", True, False),
    ],
)
def test_failed_load_is_reported_and_exits_with_3(
    idle: Worker, entry: dict[str, Any], message: str, certain: bool, out_of_memory: bool
) -> None:
    idle.assign({"engine": "fake", **entry})
    report = idle.wait_for("failed")
    assert message in report["message"]
    assert (report["certain"], report["out_of_memory"]) == (certain, out_of_memory)
    assert idle.process.wait(30) == 3
    assert "Traceback" in idle.log()


def test_crash_at_load_keeps_its_exit_code(idle: Worker) -> None:
    idle.assign({"engine": "fake", "options": {"crash_at_load": 42}})
    with pytest.raises(NotReady):
        idle.wait_for("ready")
    assert idle.process.wait(30) == 42


def test_manager_death_before_assignment_ends_the_worker(idle: Worker) -> None:
    idle.wait_for("started")
    idle.close_stdin()
    assert idle.process.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize("fault", [{"silent_load": True}, {"ignore_term": True}, {}])
@pytest.mark.parametrize("grandchild", ["child", "setsid"])
def test_manager_death_ends_the_worker_and_its_children(
    idle: Worker, tmp_path: Path, fault: dict[str, Any], grandchild: str
) -> None:
    options = {"fork_grandchild": grandchild, "started_dir": str(tmp_path), **fault}
    idle.assign({"engine": "fake", "options": options})
    if "silent_load" not in fault:
        idle.wait_for("ready")
    deadline = time.monotonic() + 30
    while not (tmp_path / "grandchild").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    pid = int((tmp_path / "grandchild").read_text())
    assert _is_alive(pid)
    idle.close_stdin()
    assert idle.process.wait(30) == -signal.SIGKILL
    wait_until_gone([pid])


def test_sigterm_while_loading_ends_the_worker(idle: Worker) -> None:
    idle.assign({"engine": "fake", "options": {"silent_load": True}})
    deadline = time.monotonic() + 30
    while "model#1" not in idle.log():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    idle.process.send_signal(signal.SIGTERM)
    assert idle.process.wait(30) == 0


def test_engine_that_ignores_sigterm_outlives_shutdown(idle: Worker) -> None:
    idle.assign({"engine": "fake", "options": {"ignore_term": True}})
    idle.wait_for("ready")
    idle.post("/shutdown", {})
    for _ in range(3):
        idle.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        idle.process.wait(1)
    idle.process.kill()
    assert idle.process.wait(30) == -signal.SIGKILL


def test_fake_really_holds_its_memory() -> None:
    def resident(options: dict[str, Any]) -> int:
        with worker_process.worker({"engine": "fake", "options": options}) as worker:
            return int(psutil.Process(worker.process.pid).memory_info().rss)

    assert resident({"memory_mb": 100}) - resident({}) > 90 * 2**20
