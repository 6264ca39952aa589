"""What a crashed manager left is ended, and nothing else; two managers never share a state folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.process_identity import identity
from contract.state_lock import lock_home
from manager.process_tree import MARK
from manager.processes.children import ChildRegistry, reap
from tests.support.clock import step_clock
from tests.support.process_family import ProcessFamily, wait_until_gone
from tests.support.spawning import PATIENCE, runs

WAIT = [sys.executable, "-c", "print(1, flush=True); import signal; signal.pause()"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manager" / "children.json"


@pytest.fixture
def family() -> Iterator[ProcessFamily]:
    with ProcessFamily() as processes:
        yield processes


@pytest.fixture
def unmarked() -> Iterator[subprocess.Popen[bytes]]:
    """A process without our mark, in its own session."""
    with waiting({key: value for key, value in os.environ.items() if key != MARK}) as process:
        yield process
        process.kill()


def waiting(environ: dict[str, str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(WAIT, stdout=subprocess.PIPE, env=environ, start_new_session=True)
    assert process.stdout
    process.stdout.readline()
    return process


def write(path: Path, known: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known))


def test_starts_and_ends_are_recorded_at_once(path: Path, family: ProcessFamily) -> None:
    children = ChildRegistry(path)
    children.add(family.uuid, family.root, "standby")
    children.rename(family.uuid, "m#1")
    assert json.loads(path.read_text()) == {
        family.uuid: {"pid": family.root, "identity": identity(family.root), "name": "m#1"}
    }
    children.remove(family.uuid)
    assert json.loads(path.read_text()) == {}
    assert os.listdir(path.parent) == [path.name], "no temporary file is left"


def test_reap_ends_escaped_descendants_too(path: Path, family: ProcessFamily) -> None:
    ChildRegistry(path).add(family.uuid, family.root, "m#1")
    assert set(reap(path)) == {family.root, family.child, family.escaped}
    wait_until_gone(family.root, family.child, family.escaped)
    assert not path.exists()


def test_reap_ends_descendants_of_a_dead_worker(path: Path, family: ProcessFamily) -> None:
    ChildRegistry(path).add(family.uuid, family.root, "m#1")
    os.kill(family.root, 9)
    wait_until_gone(family.root)
    assert family.escaped in reap(path)
    wait_until_gone(family.child, family.escaped)


@pytest.mark.parametrize("root_runs", [True, False])
def test_reap_ends_recorded_descendants_without_mark(
    path: Path, family: ProcessFamily, unmarked: subprocess.Popen[bytes], *, root_runs: bool
) -> None:
    children = ChildRegistry(path)
    children.add(family.uuid, family.root, "m#1")
    children.note_descendants({family.uuid: {str(unmarked.pid): str(identity(unmarked.pid))}})
    if not root_runs:
        os.kill(family.root, 9)
        wait_until_gone(family.root)
    assert unmarked.pid in reap(path)
    assert unmarked.wait(PATIENCE) == -9


def test_reap_spares_a_reused_descendants_pid(path: Path, family: ProcessFamily) -> None:
    children = ChildRegistry(path)
    children.add(family.uuid, family.root, "m#1")
    children.note_descendants({family.uuid: {str(os.getpid()): "earlier"}})
    assert os.getpid() not in reap(path)


def test_reap_spares_a_reused_pid(path: Path, unmarked: subprocess.Popen[bytes]) -> None:
    write(path, {uuid.uuid4().hex: {"pid": unmarked.pid, "identity": identity(os.getpid()), "name": "m#1"}})
    assert reap(path) == []
    assert runs(unmarked.pid)


def test_reap_spares_another_workers_process(path: Path, family: ProcessFamily) -> None:
    write(path, {uuid.uuid4().hex: {"pid": family.root, "identity": identity(family.root), "name": "m#1"}})
    assert reap(path) == []
    assert runs(family.root)


def test_reap_knows_an_unmarked_process_after_a_clock_step(
    path: Path, unmarked: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ChildRegistry(path).add(uuid.uuid4().hex, unmarked.pid, "m#1")
    step_clock(monkeypatch)
    assert reap(path) == [unmarked.pid]
    assert unmarked.wait(PATIENCE) == -9


@pytest.mark.parametrize("content", ["", "{", "[]", '{"uuid": {}}'])
def test_reap_ignores_a_corrupt_file(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    assert reap(path) == []
    assert not path.exists()


def test_the_lock_is_held_until_the_manager_is_killed(tmp_path: Path) -> None:
    holder = (
        "import signal, sys, pathlib\n"
        "from contract.state_lock import lock_home\n"
        "with lock_home(pathlib.Path(sys.argv[1]), 'manager'): print(1, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        with (
            pytest.raises(OSError, match=rf"another manager \(pid {process.pid}\) uses .*ENGINEHOUSE_HOME"),
            lock_home(tmp_path, "manager"),
        ):
            pass
        process.kill()
        process.wait()
    with lock_home(tmp_path, "gateway"):
        pass
    with lock_home(tmp_path, "manager"):
        assert (tmp_path / "manager" / "lock").read_text() == str(os.getpid())
