"""Cgroups of workers: where they may be had, and that no process hides in them from its manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from manager import cgroups, process_tree
from manager.processes.children import reap
from manager.processes.launchers import guard
from manager.processes.launchers.command import CommandProcess
from tests.support.spawning import CPU, Launchers, eventually, external, runs

needs_cgroup = pytest.mark.skipif(cgroups.own_cgroup() is None, reason="no cgroup of version 2 may be created here")

DETACHING_CHILD = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", "import signal; signal.pause()", "detached"], {})
    os._exit(0)
os.wait()
"""


def system(folder: Path, cgroup: str = "0::/a/b", filesystem: str = "cgroup2") -> tuple[Path, Path]:
    """The files that say which cgroup a process is in, and where cgroups are mounted."""
    (folder / "mounts").write_text(f"proc /proc proc rw 0 0\n{filesystem} {folder} {filesystem} rw 0 0\n")
    (folder / "own").write_text(f"4:memory:/elsewhere\n{cgroup}\n")
    return folder / "own", folder / "mounts"


def test_finds_its_own_cgroup_if_it_may_write_to_it(tmp_path: Path) -> None:
    own = tmp_path / "a" / "b"
    own.mkdir(parents=True)
    (own / "cgroup.procs").touch()
    assert cgroups.own_cgroup(*system(tmp_path)) == own


@pytest.mark.parametrize(
    ("cgroup", "filesystem"), [("0::/a/b", "cgroup2"), ("5:cpu:/a/b", "cgroup2"), ("0::/a/b", "cgroup")]
)
def test_uses_no_cgroup_where_none_may_be_had(tmp_path: Path, cgroup: str, filesystem: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)  # but without cgroup.procs
    assert cgroups.own_cgroup(*system(tmp_path, cgroup, filesystem)) is None


def test_process_stays_where_it_is_if_it_cannot_be_moved(tmp_path: Path) -> None:
    assert cgroups.enter("uuid", os.getpid(), tmp_path / "missing") is None
    assert cgroups.members("uuid", tmp_path) == []


def test_cgroup_that_another_manager_removes_is_created_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[Path] = []

    def mkdir(folder: Path, **_: object) -> None:
        attempts.append(folder)
        if len(attempts) > 1:  # the first one is removed at once
            os.mkdir(folder)
            (folder / "cgroup.kill").touch()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert cgroups.enter("uuid", 123, tmp_path) == tmp_path / "enginehouse-uuid"
    assert cgroups.members("uuid", tmp_path) == [123]


def test_ends_nothing_but_cgroups_of_workers(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert not cgroups.end(tmp_path / "other")
    assert (tmp_path / "other").exists()


def test_guard_enters_its_cgroup_before_its_server_starts(tmp_path: Path) -> None:
    variables = cgroups.create("uuid", tmp_path)
    (folder := tmp_path / "enginehouse-uuid").joinpath("cgroup.procs").write_text("")
    assert variables == {cgroups.VARIABLE: str(folder)}
    server = f"import os; print(open({str(folder / 'cgroup.procs')!r}).read(), os.environ.get({cgroups.VARIABLE!r}))"
    command = [sys.executable, "-I", "-S", guard.__file__, sys.executable, "-c", server]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | variables
    ) as process:
        assert process.stdout
        assert process.stdout.read() == b"0 None\n"


@needs_cgroup
async def test_no_detached_process_leaves_its_workers_cgroup(tmp_path: Path) -> None:
    launchers = Launchers(tmp_path / "home")
    server, detached = await start_detaching(launchers, tmp_path)
    assert detached in {process.pid for process in process_tree.tree(server.pid, server.uuid)}
    kill_tree_of(server)
    await server.wait()
    await server.stop(1)
    await eventually("it has ended", lambda: not runs(detached))  # its cgroup is gone a moment before
    assert not list((cgroups.own_cgroup() or tmp_path).glob(f"*{server.uuid}"))


@needs_cgroup
def test_what_a_process_started_before_is_moved_too() -> None:
    shell = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
    assert shell.stdout
    child = int(shell.stdout.readline())
    uuid = f"late-{shell.pid}"  # another run of the tests may use the same parent
    folder = cgroups.enter(uuid, shell.pid)
    assert folder is not None
    try:
        assert {shell.pid, child} <= set(cgroups.members(uuid))
    finally:
        assert cgroups.end(folder)
        shell.wait()
        shell.stdout.close()


@needs_cgroup
async def test_next_manager_ends_what_is_in_a_recorded_cgroup(tmp_path: Path) -> None:
    launchers = Launchers(tmp_path / "home")
    server, detached = await start_detaching(launchers, tmp_path)
    kill_tree_of(server)
    await server.wait()
    assert detached in reap(tmp_path / "home" / "manager" / "children.json")
    await eventually("it has ended", lambda: not runs(detached))  # its cgroup is gone a moment before
    assert not list((cgroups.own_cgroup() or tmp_path).glob(f"*{server.uuid}"))


def test_empty_cgroups_of_workers_are_removed(tmp_path: Path) -> None:
    for name in ("enginehouse-empty", "enginehouse-busy", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "enginehouse-busy" / "process").touch()
    cgroups.remove_empty(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["enginehouse-busy", "other"]


async def start_detaching(launchers: Launchers, folder: Path) -> tuple[CommandProcess, int]:
    """A server that has started a process with a session and an environment of its own; that process's pid."""
    spec = external(folder)
    script = folder / "server.py"
    script.write_text(DETACHING_CHILD + script.read_text())
    server = await launchers.command.start(spec, CPU, "external#1", print)
    await server.ready()
    children = psutil.Process(server.pid).children()
    detached = await eventually("it runs its program", lambda: [c.pid for c in children if "detached" in c.cmdline()])
    return server, detached[0]


def kill_tree_of(server: CommandProcess) -> None:
    """Kill the server and its guard, so that nothing adopts the detached process."""
    group = [p.pid for p in psutil.Process(server.pid).children() if os.getpgid(p.pid) == server.pid]
    for pid in (*group, server.pid):
        os.kill(pid, signal.SIGKILL)
