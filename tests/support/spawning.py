"""Real launchers on a test's own state folder, entries for them to start, and waiting for events."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from contract.config import ModelSpec
from manager.processes.children import ChildRegistry
from manager.processes.launchers.command import CommandLauncher
from manager.processes.launchers.local import LocalLauncher, LocalProcess
from manager.processes.launchers.logs import Logs
from manager.state.process import Placement

PATIENCE = 200.0
"""Seconds after which an event that a test waits for counts as missing."""

CPU = Placement(dtype="float32")

SERVER = """
import http.server, json, os, signal, subprocess, sys
if "--escape" in sys.argv:
    subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
if "--ignore-term" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        report = {"args": sys.argv[1:], "cwd": os.getcwd(), "environ": dict(os.environ), "path": self.path,
                  "authorization": self.headers["authorization"], "pid": os.getpid()}
        body = json.dumps(report).encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""An external server that reports how it was started."""


class Launchers:
    """Both launchers over one state folder, and the reports that their workers have sent."""

    def __init__(self, home: Path, imports: tuple[str, ...] = ()) -> None:
        self.home = home
        self.children = ChildRegistry(home / "manager" / "children.json")
        self.logs = Logs(home / "logs")
        self.local = LocalLauncher(home, lambda _: imports, self.children, self.logs)
        self.command = CommandLauncher(self.children, self.logs)
        self.reports: list[dict[str, Any]] = []

    async def start(self, model: str = "m", number: int = 1, **options: Any) -> LocalProcess:
        """A worker with the fake engine, which is still loading."""
        return await self.local.start(fake(model, **options), CPU, f"{model}#{number}", self.reports.append)

    def recorded(self) -> dict[str, Any]:
        """The recorded identities of child processes, by uuid."""
        return recorded(self.home)


def recorded(home: Path) -> dict[str, Any]:
    """The identities of child processes that are recorded in a state folder, by uuid."""
    path = home / "manager" / "children.json"
    children: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return children


def fake(model: str = "m", **options: Any) -> ModelSpec:
    """An entry with the fake engine."""
    return ModelSpec(id=model, engine="fake", options=options)


def external(folder: Path, *arguments: str, **fields: Any) -> ModelSpec:
    """An entry with the engine `command`, whose server is SERVER."""
    script = folder / "server.py"
    script.write_text(SERVER)
    cmd = shlex.join([sys.executable, str(script), "${PORT}", *arguments])
    options = {"cmd": cmd, **fields.pop("options", {})}
    return ModelSpec(id="external/one", engine="command", options=options, **fields)


async def eventually(what: str, condition: Callable[[], Any]) -> Any:
    """Poll until `condition` returns a true value, and return that; fail the test if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.01)
    return result


def runs(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def running_workers() -> list[int]:
    """The pids of our children that are workers and have not ended."""
    return [child.pid for child in psutil.Process().children() if "workers" in _command(child) and runs(child.pid)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""
