"""A worker's life by the birth protocol: born, told, ready or failed, and gone with its manager."""

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
def unborn() -> Iterator[Worker]:
    """A worker that has not been told its model."""
    worker = Worker()
    yield worker
    worker.close()


def wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 30
    while alive := [pid for pid in pids if _lives(pid)]:
        assert time.monotonic() < end, f"still there: {alive}"
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_starts_without_a_model_and_serves_the_assigned_one(unborn: Worker) -> None:
    unborn.wait_for("started")
    unborn.tell({"engine": "fake"})
    assert unborn.wait_for("ready")["features"] == ["images", "languages"]
    assert unborn.post("/v1/embeddings", {"input": "x"}).status_code == 200


def test_imports_before_started_and_only_logs_missing_modules() -> None:
    worker = Worker("fractions,concurrent.futures:ThreadPoolExecutor,no_such_module")
    with contextlib.closing(worker):
        worker.wait_for("started")
        assert "cannot import no_such_module" in worker.log()
        worker.tell({"engine": "fake"})
        worker.wait_for("ready")


def test_sets_the_environment_before_loading(unborn: Worker) -> None:
    unborn.tell(
        {"engine": "fake", "options": {"fork_grandchild": "child"}}, environment={"CUDA_VISIBLE_DEVICES": "GPU-7"}
    )
    unborn.wait_for("ready")
    [grandchild] = psutil.Process(unborn.process.pid).children()
    end = time.monotonic() + 30
    while grandchild.environ().get("CUDA_VISIBLE_DEVICES") != "GPU-7":  # it may still be between fork and exec
        assert time.monotonic() < end
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
    unborn: Worker, entry: dict[str, Any], message: str, certain: bool, out_of_memory: bool
) -> None:
    unborn.tell({"engine": "fake", **entry})
    report = unborn.wait_for("failed")
    assert message in report["message"]
    assert (report["certain"], report["out_of_memory"]) == (certain, out_of_memory)
    assert unborn.process.wait(30) == 3
    assert "Traceback" in unborn.log()


def test_crash_at_load_keeps_its_exit_code(unborn: Worker) -> None:
    unborn.tell({"engine": "fake", "options": {"crash_at_load": 42}})
    with pytest.raises(NotReady):
        unborn.wait_for("ready")
    assert unborn.process.wait(30) == 42


def test_manager_death_before_assignment_ends_the_worker(unborn: Worker) -> None:
    unborn.wait_for("started")
    unborn.leave()
    assert unborn.process.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize("fault", [{"silent_load": True}, {"ignore_term": True}, {}])
@pytest.mark.parametrize("grandchild", ["child", "setsid"])
def test_manager_death_ends_the_worker_and_its_children(
    unborn: Worker, tmp_path: Path, fault: dict[str, Any], grandchild: str
) -> None:
    options = {"fork_grandchild": grandchild, "started_dir": str(tmp_path), **fault}
    unborn.tell({"engine": "fake", "options": options})
    if "silent_load" not in fault:
        unborn.wait_for("ready")
    end = time.monotonic() + 30
    while not (tmp_path / "grandchild").exists():
        assert time.monotonic() < end
        time.sleep(0.005)
    pid = int((tmp_path / "grandchild").read_text())
    assert _lives(pid)
    unborn.leave()
    assert unborn.process.wait(30) == -signal.SIGKILL
    wait_until_gone([pid])


def test_sigterm_while_loading_ends_the_worker(unborn: Worker) -> None:
    unborn.tell({"engine": "fake", "options": {"silent_load": True}})
    end = time.monotonic() + 30
    while "model#1" not in unborn.log():
        assert time.monotonic() < end
        time.sleep(0.005)
    unborn.process.send_signal(signal.SIGTERM)
    assert unborn.process.wait(30) == 0


def test_engine_that_ignores_sigterm_outlives_shutdown(unborn: Worker) -> None:
    unborn.tell({"engine": "fake", "options": {"ignore_term": True}})
    unborn.wait_for("ready")
    unborn.post("/shutdown", {})
    for _ in range(3):
        unborn.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        unborn.process.wait(1)
    unborn.process.kill()
    assert unborn.process.wait(30) == -signal.SIGKILL


def test_fake_really_holds_its_memory() -> None:
    def resident(options: dict[str, Any]) -> int:
        with worker_process.worker({"engine": "fake", "options": options}) as worker:
            return int(psutil.Process(worker.process.pid).memory_info().rss)

    assert resident({"memory_mb": 100}) - resident({}) > 90 * 2**20
