"""Workers' logs stay within their bounds while their processes write to them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from contract.config import LogSettings
from manager.log_stream import log_file
from manager.processes.launchers.logs import Logs
from tests.support.spawning import eventually

ENDLESS = "n = 0\nwhile True: print('line', n := n + 1)"
SMALL = LogSettings(max_mb=0.05, keep=2)


async def test_log_of_an_endless_writer_is_bounded(tmp_path: Path) -> None:
    logs = Logs(tmp_path, lambda: SMALL)
    log = logs.for_model("m")
    rotating = asyncio.create_task(logs.keep_within_bounds())
    with log.open() as file:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", ENDLESS, stdout=file)
    await eventually("it was rotated twice", (tmp_path / "m.log.2").exists)
    process.kill()
    await process.wait()
    rotating.cancel()
    logs.rotate()
    assert sorted(os.listdir(tmp_path)) == ["m.log", "m.log.1", "m.log.2"]
    assert log.path.stat().st_size < SMALL.max_bytes
    assert all((tmp_path / f"m.log.{number}").stat().st_size <= 2 * SMALL.max_bytes for number in (1, 2))
    assert "line" in log.tail(3)
    logs.release(log)
    assert "line" in log.tail(3), "the last lines are those before the rotation"


def test_tail_of_a_rotated_log_begins_before_the_rotation(tmp_path: Path) -> None:
    logs = Logs(tmp_path, lambda: SMALL)
    log = logs.for_model("m")
    with log.open() as file:
        file.write(b"x" * SMALL.max_bytes + b"\nlast but one\n")
        file.flush()
        logs.rotate()
        file.write(b"last\n")
        file.flush()
        assert log.tail(2) == "last but one\nlast"


def test_log_of_an_unused_standby_is_removed_with_older_files(tmp_path: Path) -> None:
    logs = Logs(tmp_path, lambda: SMALL)
    log = logs.for_standby("uuid")
    with log.open() as file:
        file.write(b"x" * SMALL.max_bytes)
    logs.rotate()
    assert len(os.listdir(tmp_path)) == 2
    logs.discard(log)
    assert os.listdir(tmp_path) == []


def test_a_new_bound_applies_at_once(tmp_path: Path) -> None:
    bounds = [LogSettings()]
    logs = Logs(tmp_path, lambda: bounds[0])
    with logs.for_model("m").open() as file:
        file.write(b"x" * SMALL.max_bytes)
    logs.rotate()
    assert os.listdir(tmp_path) == ["m.log"]
    bounds[0] = SMALL
    logs.rotate()
    assert sorted(os.listdir(tmp_path)) == ["m.log", "m.log.1"]


@pytest.mark.parametrize("model", ["x" * 300, "模" * 200, "org/" + "é" * 120])
def test_a_model_with_a_long_id_has_a_log(tmp_path: Path, model: str) -> None:
    log = Logs(tmp_path / "logs").for_model(model)
    log.path.write_text("a line")
    assert log.path == log_file(tmp_path, model)
    assert log_file(tmp_path, model) != log_file(tmp_path, f"{model}y")
