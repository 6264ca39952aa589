"""`make start`, `stop`, `status` and `reload` in the background, as a user at the terminal sees them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
import yaml

from contract.config import LogSettings
from contract.log_files import copy_and_truncate, open_log, rename_away
from contract.process_identity import identity
from scripts.control.daemon import Daemon
from tests.support.clock import step_clock

ROOT = Path(__file__).parents[2]


class Terminal:
    """Runs `python -m scripts.control` on one installation."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.home = folder / "data"
        folder.mkdir(exist_ok=True)
        self.environ = {
            **os.environ,
            "ENGINEHOUSE_CONFIG": str(folder / "config.yaml"),
            "ENGINEHOUSE_HOME": str(self.home),
        }
        self.configure(**settings)

    def configure(self, **settings: object) -> None:
        defaults = {
            "gateway": {"host": "127.0.0.1", "port": 0},
            "manager": {"port": 0, "standby": 0},
            "models": [{"id": "a", "engine": "fake"}],
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump({**defaults, **settings}))

    def __call__(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scripts.control", command],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @property
    def url(self) -> str:
        return (self.home / "gateway" / "address").read_text().strip()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path / "first")
    yield terminal
    if list(terminal.home.glob("*/pid")):
        terminal("stop")


def test_start_serve_reload_and_stop(terminal: Terminal) -> None:
    terminal.configure(logs={"max_mb": 0.0001, "keep": 1})
    started = terminal("start")
    assert started.returncode == 0, started.stderr
    assert terminal.url in started.stdout
    body = {"model": "a", "messages": [{"role": "user", "content": "hi"}]}
    assert httpx2.post(f"{terminal.url}/v1/chat/completions", json=body, trust_env=False, timeout=60).status_code == 200

    assert "already running" in terminal("start").stdout
    shown = terminal("status").stdout
    assert "ready    yes" in shown
    assert "a#1" in shown

    terminal.configure(models=[{"id": "b", "engine": "fake"}])
    assert "Changed: " in terminal("reload").stdout
    assert "\nb  " in terminal("status").stdout

    stopped = terminal("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "Enginehouse has stopped.\n")
    assert "not running in the background" in terminal("status").stdout
    assert terminal("stop").stdout == "Enginehouse is not running.\n"
    logs = {file.name: file.stat() for file in (terminal.home / "logs").iterdir()}
    assert {"manager.log", "manager.log.1", "gateway.log", "gateway.log.1", "a.log"} <= set(logs)
    assert not any(stat.st_mode & 0o077 for stat in logs.values())


def test_two_installations_run_side_by_side(terminal: Terminal, tmp_path: Path) -> None:
    other = Terminal(tmp_path / "other", models=[{"id": "c", "engine": "fake"}])
    try:
        assert terminal("start").returncode == other("start").returncode == 0
        assert terminal("stop").returncode == 0
        models = httpx2.get(f"{other.url}/v1/models", trust_env=False, timeout=60).json()
        assert [model["id"] for model in models["data"]] == ["c"]
    finally:
        other("stop")


@pytest.mark.parametrize(("section", "variable"), [("gateway", "GATEWAY_PORT"), ("manager", "MANAGER_PORT")])
def test_taken_port_is_named(terminal: Terminal, section: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = {"host": "127.0.0.1", "port": port if section == "gateway" else 0}
        terminal.configure(gateway=gateway, manager={"port": port if section == "manager" else 0})
        refused = terminal("start")
    assert refused.returncode == 1
    assert f"port {port}" in refused.stderr
    assert f"pid {os.getpid()}" in refused.stderr
    assert f"{variable}=" in refused.stderr
    assert not list(terminal.home.glob("*/address"))


def test_one_port_for_both_programs_is_refused(terminal: Terminal) -> None:
    terminal.configure(gateway={"host": "127.0.0.1", "port": 18999}, manager={"port": 18999})
    refused = terminal("start")
    assert refused.returncode == 1
    assert "Gateway and manager cannot both listen on port 18999. Choose another one" in refused.stderr


def test_invalid_configuration_is_reported_before_start(terminal: Terminal) -> None:
    terminal.configure(gateway={"prt": 1})
    refused = terminal("start")
    assert refused.returncode == 1
    assert "did you mean `port`?" in refused.stderr
    assert not list(terminal.home.glob("*/pid"))


def test_log_of_program_that_exits_at_once_is_shown(terminal: Terminal) -> None:
    terminal.configure(models=[{"id": "a", "engine": "nosuch", "source": "x"}])
    refused = terminal("start")
    assert refused.returncode == 1
    assert "The manager exited at once" in refused.stderr
    assert "nosuch" in refused.stderr
    assert "not running in the background" in terminal("status").stdout.splitlines()[1]


def test_process_that_reuses_our_pid_is_left_alone(terminal: Terminal) -> None:
    identity = terminal.home / "manager" / "pid"
    identity.parent.mkdir(parents=True)
    identity.write_text(f'{{"pid": {os.getpid()}, "started": 1.0}}')
    assert terminal("stop").stdout == "Enginehouse is not running.\n"


@pytest.mark.parametrize("version", ["this", "an earlier"])
def test_program_is_found_by_its_record(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as program:
        record: dict[str, object] = {"pid": program.pid, "started": psutil.Process(program.pid).create_time()}
        if version == "this":
            record = {"pid": program.pid, "identity": identity(program.pid)}
            step_clock(monkeypatch)
        (terminal.home / "manager").mkdir(parents=True)
        (terminal.home / "manager" / "pid").write_text(json.dumps(record))
        manager = Daemon("manager", terminal.home)
        process = manager.request_stop()
        assert process
        manager.wait_until_stopped(process, 60)
    assert manager.process is None


def rename(path: Path, settings: LogSettings) -> None:
    rename_away(path, settings.keep)


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate], ids=["of a program", "of a worker"])
def test_logs_are_followed_across_a_rotation(terminal: Terminal, rotate: Callable[[Path, LogSettings], None]) -> None:
    path = terminal.home / "logs" / "manager.log"
    path.parent.mkdir(parents=True)
    path.write_text("before\n")
    command = [sys.executable, "-m", "scripts.control", "logs-manager"]
    with subprocess.Popen(
        command, cwd=ROOT, env=terminal.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as following:
        assert following.stdout
        assert following.stdout.readline() == "before\n"
        rotate(path, LogSettings())
        with open_log(path) as log:
            log.write(b"after\n")
        assert following.stdout.readline() == "after\n"
        following.terminate()


def test_missing_logs_are_reported(terminal: Terminal) -> None:
    assert "There are no logs yet" in terminal("logs").stderr


def test_status_warns_if_anyone_can_use_it(terminal: Terminal) -> None:
    assert "WARNING" not in terminal("status").stdout
    terminal.configure(gateway={"host": "0.0.0.0", "port": 0})
    assert "echo GATEWAY_API_KEY=" in terminal("status").stdout
