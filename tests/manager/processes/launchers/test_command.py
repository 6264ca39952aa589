"""External servers behind their guard: how they start, how a failed start is reported, and how they stop."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from contract.config import ModelSpec
from manager import process_tree
from manager.processes.launchers import command
from manager.processes.launchers.command import CommandProcess
from manager.processes.network import WorkerNetwork
from manager.state.process import LoadFailure, Placement
from tests.support.spawning import CPU, Launchers, eventually, external, runs


@pytest.fixture
async def launchers(tmp_path: Path) -> Launchers:
    return Launchers(tmp_path / "home")


async def start(launchers: Launchers, spec: ModelSpec, placement: Placement = CPU) -> CommandProcess:
    return await launchers.command.start(spec, placement, f"{spec.id}#1", launchers.reports.append)


def python(code: str, **fields: Any) -> ModelSpec:
    """An entry whose server is a line of Python; it gets its port as argument."""
    return ModelSpec(
        id="m", engine="command", options={"cmd": shlex.join([sys.executable, "-c", code, "${PORT}"])}, **fields
    )


async def report_of(server: CommandProcess) -> dict[str, Any]:
    """The server's report of how it was started."""
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}/") as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        return answer


async def start_serve_and_stop(launchers: Launchers, folder: Path) -> None:
    """One server from its start to its end."""
    spec = external(
        folder,
        "${TOKEN}",
        "${MODEL_ID}",
        "$$ ${HOME} `id`",
        env={"API_KEY": "${TOKEN}", "PYTHONHASHSEED": "7"},
        options={"cwd": str(folder), "ready": "/v1/models?x=1"},
    )
    server = await start(launchers, spec, Placement(environment={"CUDA_VISIBLE_DEVICES": "GPU-1"}))
    await server.ready()
    answer = await report_of(server)
    port = server.url.rpartition(":")[2]
    assert answer["args"] == [port, server.token, "external/one", "$$ ${HOME} `id`"], "no shell has expanded it"
    assert answer["cwd"] == str(folder)
    environ = answer["environ"]
    assert (environ["API_KEY"], environ["PYTHONHASHSEED"]) == (server.token, "7")
    assert environ["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert environ[process_tree.MARK] == server.uuid
    assert launchers.recorded()[server.uuid]["name"] == "external/one#1"
    assert server.log_path == launchers.home / "logs" / "external_one.log"
    await server.stop(10)
    assert server.exit_code == await server.wait() == -signal.SIGTERM, "the guard ends by the same signal as its server"
    assert not runs(answer["pid"])
    assert launchers.recorded() == {}


async def test_a_server_starts_serves_and_stops(launchers: Launchers, tmp_path: Path) -> None:
    await start_serve_and_stop(launchers, tmp_path)


def test_a_server_starts_serves_and_stops_under_uvloop(tmp_path: Path) -> None:
    uvloop.run(start_serve_and_stop(Launchers(tmp_path / "home"), tmp_path))


async def test_ready_waits_for_a_2xx_and_sends_the_key(launchers: Launchers, tmp_path: Path) -> None:
    code = (
        "import http.server, pathlib, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        " def do_GET(self):\n"
        "  print(self.path, self.headers['authorization'], flush=True)\n"
        f"  self.send_response(204 if pathlib.Path({str(tmp_path / 'go')!r}).exists() else 503); self.end_headers()\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()"
    )
    server = await start(launchers, python(code))
    ready = asyncio.create_task(server.ready())
    await eventually("it was asked more than once", lambda: server.log_tail().count("503") > 1)
    assert not ready.done()
    assert f"/health Bearer {server.token}" in server.log_tail()
    (tmp_path / "go").touch()
    await ready
    await server.stop(5)


@pytest.mark.parametrize(
    ("code", "message", "exit_code", "certain"),
    [
        ("print('no model'); raise SystemExit(5)", "exit code 5 while starting; its last line was: no model", 5, True),
        ("import os; os.kill(os.getpid(), 9)", "signal 9", -9, False),
        ("import os; os.kill(os.getpid(), 11)", "signal 11", -11, False),
        ("", "exit code 0", 0, False),
    ],
)  # fmt: skip
async def test_an_exit_before_ready_is_a_failure(
    launchers: Launchers, code: str, message: str, exit_code: int, certain: bool
) -> None:
    server = await start(launchers, python(code))
    with pytest.raises(LoadFailure) as caught:
        await server.ready()
    assert message in caught.value.message
    assert (caught.value.exit_code, caught.value.certain) == (exit_code, certain)
    await server.stop(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"cmd": "no-such-program --port ${PORT}"},
            "there is no program no-such-program: install it, or write its full",
        ),
        ({"cmd": "true 'open ${PORT}"}, "No closing quotation: true 'open"),
        ({"cmd": "true ${PORT}", "cwd": "/no/such/folder"}, "/no/such/folder"),
    ],
)
async def test_an_invalid_command_is_reported(launchers: Launchers, options: dict[str, str], message: str) -> None:
    spec = ModelSpec(id="m", engine="command", options=options)
    with pytest.raises(LoadFailure) as caught:
        await (await start(launchers, spec)).ready()
    assert message in caught.value.message
    assert caught.value.certain
    assert caught.value.permanent


async def test_program_that_a_shell_does_not_find_is_named(launchers: Launchers) -> None:
    spec = ModelSpec(id="m", engine="command", options={"cmd": "sh -c 'no-such-program ${PORT}'"})
    with pytest.raises(LoadFailure, match=r"exit code 127 .*no-such-program"):
        await (await start(launchers, spec)).ready()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens and never answers."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


async def test_a_taken_port_is_replaced(
    launchers: Launchers, tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_port, ports = WorkerNetwork.free_port, iter([taken, taken])
    monkeypatch.setattr(WorkerNetwork, "free_port", lambda network: next(ports, None) or free_port(network))
    server = await start(launchers, external(tmp_path))
    await server.ready()
    assert (await report_of(server))["args"] == [server.url.rpartition(":")[2]]
    assert not server.url.endswith(f":{taken}")
    assert list(launchers.recorded()) == [server.uuid]
    await server.stop(5)


async def test_ports_are_not_tried_for_ever(
    launchers: Launchers, tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkerNetwork, "free_port", lambda _: taken)
    server = await start(launchers, external(tmp_path))
    with pytest.raises(LoadFailure, match="Address already in use"):
        await server.ready()
    assert server.log_tail(1000).count("Address already in use") == command.PORT_ATTEMPTS
    await server.stop(0)


async def test_a_stopped_start_is_not_retried(
    launchers: Launchers, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(WorkerNetwork, "free_port", lambda _: tried.append(taken) or taken)
    server = await start(launchers, python("import signal; signal.pause()"))
    ready = asyncio.create_task(server.ready())
    await server.stop(1)
    with pytest.raises(LoadFailure):
        await ready
    assert tried == [taken]
    assert launchers.recorded() == {}


async def test_a_server_that_ignores_term_is_killed_with_its_tree(launchers: Launchers, tmp_path: Path) -> None:
    server = await start(launchers, external(tmp_path, "--ignore-term", "--escape"))
    await server.ready()
    pids = [process.pid for process in process_tree.marked(server.uuid)]
    assert len(pids) == 3, "guard, server, escaped grandchild"
    os.killpg(server.pid, signal.SIGTERM)
    await eventually("it has ignored that", lambda: "TERM" in server.log_tail())
    await server.stop(0.5)
    assert server.log_tail().splitlines().count("TERM") <= 2, "one of each, not another from its guard"
    assert not [pid for pid in pids if runs(pid)]


async def test_nothing_is_left_when_server_or_guard_dies(launchers: Launchers, tmp_path: Path) -> None:
    for victim in ("server", "guard"):
        server = await start(launchers, external(tmp_path, "--escape"))
        await server.ready()
        pids = [process.pid for process in process_tree.marked(server.uuid)]
        os.kill((await report_of(server))["pid"] if victim == "server" else server.pid, signal.SIGKILL)
        assert await server.wait() == -9
        await server.stop(5)
        assert not [pid for pid in pids if runs(pid)], victim


async def test_the_guard_ends_what_its_server_leaves(launchers: Launchers) -> None:
    """Without the manager's help, which may be busy or gone at that moment."""
    code = (
        "import subprocess, sys\n"
        "escaped = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], start_new_session=True)\n"
        "print(escaped.pid)"
    )
    server = await start(launchers, python(code))
    assert await server.wait() == 0
    assert not runs(json.loads(server.log_tail(1)))
    await server.stop(0)


HIDING_CHILD = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:  # its parent ends at once, and its environment is another one
        os.execve(sys.executable, [sys.executable, "-c", "import signal; signal.pause()", "hiding"], {})
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
async def test_a_child_that_hides_is_measured_and_ended(launchers: Launchers, tmp_path: Path) -> None:
    """It has a session of its own, a parent that has ended, and another environment, as vLLM's processes do."""
    spec = external(tmp_path)
    script = tmp_path / "server.py"
    script.write_text(HIDING_CHILD + script.read_text())
    server = await start(launchers, spec)
    await server.ready()
    family = {process.pid: process.cmdline() for process in process_tree.tree(server.pid, server.uuid)}
    (hiding,) = (pid for pid, command in family.items() if "hiding" in command)
    os.kill((await report_of(server))["pid"], signal.SIGKILL)
    assert await server.wait() == -signal.SIGKILL
    await eventually("nothing is left", lambda: not runs(hiding))
    await server.stop(1)
