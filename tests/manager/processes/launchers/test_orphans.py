"""A killed manager leaves nothing behind: no worker, no standby, no external server, no grandchild."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager import process_tree
from manager.processes.children import reap
from tests.support.process_family import wait_until_gone
from tests.support.spawning import PATIENCE, recorded, runs

ROOT = Path(__file__).parents[4]

MANAGER = """
import asyncio, json, sys
from pathlib import Path
from manager import process_tree
from manager.processes.launchers.standby import StandbyKey
from tests.support.spawning import CPU, Launchers, eventually, external

async def main():
    home = Path(sys.argv[1])
    launchers = Launchers(home)
    worker = await launchers.start("worker", fork_grandchild="setsid")
    server = await launchers.command.start(external(home, "--escape"), CPU, "server#1", print)
    await worker.ready()
    await server.ready()
    launchers.local.standbys.keep({StandbyKey(None, (("OF", "another"),), ()): 1})
    await eventually("a standby has started", lambda: any(s["born"] for s in launchers.local.standbys.status()))
    loading = await launchers.start("loading", load_gate=str(home / "never"), fork_grandchild="child")
    await eventually("it has forked", lambda: len(process_tree.marked(loading.uuid)) == 2)
    print(json.dumps(list(launchers.recorded())), flush=True)
    await asyncio.Event().wait()

if sys.argv[2] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.fixture(params=["asyncio", "uvloop"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has started workers, a standby and an external server."""
    argv = [sys.executable, "-c", MANAGER, str(tmp_path), request.param]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout
        assert process.stdout.readline(), "it has failed to start"
        yield process
        process.kill()


def family(home: Path) -> list[int]:
    """The pids of everything that was started, escaped grandchildren included."""
    children = recorded(home)
    assert sorted(child["name"] for child in children.values()) == ["loading#1", "server#1", "standby", "worker#1"]
    marked = process_tree.marked_by_uuid()
    pids = [process.pid for uuid in children for process in marked[uuid]]
    assert len(pids) == 8, "two workers and their grandchildren; guard, server and its grandchild; a standby"
    return pids


def test_a_killed_manager_leaves_nothing_behind(manager: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pids = family(tmp_path)
    manager.kill()
    wait_until_gone(*pids, within=PATIENCE)


def test_the_next_manager_ends_suspended_processes(manager: subprocess.Popen[bytes], tmp_path: Path) -> None:
    pids = family(tmp_path)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    manager.kill()
    manager.wait()
    assert all(runs(pid) for pid in pids)
    assert sorted(reap(tmp_path / "manager" / "children.json")) == sorted(pids)
    assert not any(runs(pid) for pid in pids)
