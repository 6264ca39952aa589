"""External servers whose processes hide: they are ended even if server and guard are killed, or the manager too.

They have a session of their own, a parent that has ended, and another environment, as vLLM's processes do.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from scripts.testbed.server import RunningServer, eventually
from tests.support.external_server import external_command
from tests.support.spawning import recorded, runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")

HIDING_CHILD = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", "import signal; signal.pause()"], {})
    os._exit(0)
os.wait()
"""


def test_killed_external_server_leaves_no_process(tmp_path: Path) -> None:
    command = external_command(tmp_path)
    program = tmp_path / "server.py"
    program.write_text(HIDING_CHILD + program.read_text())
    entry = {"id": "external", "engine": "command", "tasks": ["chat"], "options": {"cmd": command}}
    with RunningServer(tmp_path / "server", [entry]) as server:
        manager = psutil.Process(server.processes["manager"].pid)
        guard, external, hiding = start_external(server)
        for process in (external, guard):
            os.kill(process, signal.SIGKILL)
        eventually("the hiding process is ended", lambda: not runs(hiding))
        eventually("the worker is stopped", lambda: not server.workers())
        eventually("its zombie is collected", lambda: not zombies(manager))

        guard, external, hiding = start_external(server)
        eventually("it is recorded", lambda: str(hiding) in json.dumps(recorded(server.home)))
        manager.suspend()  # so that it cannot end what it adopts
        for process in (external, guard):
            os.kill(process, signal.SIGKILL)
        server.stop("manager", signal.SIGKILL)
        assert runs(hiding)
        server.start("manager")
        assert not runs(hiding)


def zombies(parent: psutil.Process) -> list[int]:
    """The pids of ended children that their parent has not collected."""
    children = parent.children()
    return [child.pid for child in children if child.is_running() and child.status() == psutil.STATUS_ZOMBIE]


def start_external(server: RunningServer) -> tuple[int, int, int]:
    """The pids of the guard, its server and the hiding process, which the guard has adopted."""
    assert server.chat("external").status_code == 200
    (worker,) = server.workers()
    external, hiding = eventually("it has adopted", lambda: two_children(worker["pid"]))
    return worker["pid"], external, hiding


def two_children(guard: int) -> list[int] | None:
    """The pids of a guard's children, once there are two: the server, and the process that hides its environment."""
    try:
        pids = {not child.environ(): child.pid for child in psutil.Process(guard).children()}
    except psutil.Error:  # one of them has just ended
        return None
    return [pids[False], pids[True]] if len(pids) == 2 else None
