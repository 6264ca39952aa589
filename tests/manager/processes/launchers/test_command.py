"""Foreign servers behind their guard: how they are started, what is said when they are not, and how they go."""

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
from manager.processes.launchers import LoadFailure, Placement, command
from manager.processes.launchers.command import CommandProcess
from tests.support.spawning import CPU, Births, eventually, foreign, runs


@pytest.fixture
async def births(tmp_path: Path) -> Births:
    return Births(tmp_path / "home")


async def start(births: Births, spec: ModelSpec, placement: Placement = CPU) -> CommandProcess:
    return await births.command.start(spec, placement, f"{spec.id}#1", births.reports.append)


def python(code: str, **fields: Any) -> ModelSpec:
    """An entry whose server is a line of Python; it gets its port as argument."""
    return ModelSpec(
        id="m", engine="command", options={"cmd": shlex.join([sys.executable, "-c", code, "${PORT}"])}, **fields
    )


async def told(server: CommandProcess) -> dict[str, Any]:
    """What the server says of how it was started."""
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}/") as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        return answer


async def live(births: Births, folder: Path) -> None:
    """One whole life."""
    spec = foreign(
        folder,
        "${TOKEN}",
        "${MODEL_ID}",
        "$$ ${HOME} `id`",
        env={"API_KEY": "${TOKEN}", "PYTHONHASHSEED": "7"},
        options={"cwd": str(folder), "ready": "/v1/models?x=1"},
    )
    server = await start(births, spec, Placement(environment={"CUDA_VISIBLE_DEVICES": "GPU-1"}))
    await server.ready()
    answer = await told(server)
    port = server.url.rpartition(":")[2]
    assert answer["args"] == [port, server.token, "foreign/one", "$$ ${HOME} `id`"], "no shell has seen it"
    assert answer["cwd"] == str(folder)
    environ = answer["environ"]
    assert (environ["API_KEY"], environ["PYTHONHASHSEED"]) == (server.token, "7")
    assert environ["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert environ[process_tree.MARK] == server.uuid
    assert births.known()[server.uuid]["name"] == "foreign/one#1"
    assert server.log_path == births.home / "logs" / "foreign_one.log"
    await server.stop(10)
    assert server.exit_code == await server.wait() == -signal.SIGTERM, "the guard ends as its server does"
    assert not runs(answer["pid"])
    assert births.known() == {}


async def test_a_foreign_server_is_started_serves_and_goes(births: Births, tmp_path: Path) -> None:
    await live(births, tmp_path)


def test_the_same_under_the_event_loop_of_the_manager(tmp_path: Path) -> None:
    uvloop.run(live(Births(tmp_path / "home"), tmp_path))


async def test_it_is_ready_when_it_says_yes_and_is_asked_with_its_key(births: Births, tmp_path: Path) -> None:
    code = (
        "import http.server, pathlib, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        " def do_GET(self):\n"
        "  print(self.path, self.headers['authorization'], flush=True)\n"
        f"  self.send_response(204 if pathlib.Path({str(tmp_path / 'go')!r}).exists() else 503); self.end_headers()\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()"
    )
    server = await start(births, python(code))
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
        ("print('no model'); raise SystemExit(5)", "exit code 5 while starting; it wrote last: no model", 5, True),
        ("import os; os.kill(os.getpid(), 9)", "signal 9", -9, False),
        ("import os; os.kill(os.getpid(), 11)", "signal 11", -11, False),
        ("", "exit code 0", 0, False),
    ],
)  # fmt: skip
async def test_one_that_ends_before_it_is_ready(
    births: Births, code: str, message: str, exit_code: int, certain: bool
) -> None:
    server = await start(births, python(code))
    with pytest.raises(LoadFailure) as caught:
        await server.ready()
    assert message in caught.value.message
    assert (caught.value.exit_code, caught.value.certain) == (exit_code, certain)
    await server.stop(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cmd": "no-such-program --port ${PORT}"}, "there is no such program: no-such-program --port"),
        ({"cmd": "true 'open ${PORT}"}, "No closing quotation: true 'open"),
        ({"cmd": "true ${PORT}", "cwd": "/no/such/folder"}, "/no/such/folder"),
    ],
)
async def test_a_command_that_cannot_be_run(births: Births, options: dict[str, str], message: str) -> None:
    spec = ModelSpec(id="m", engine="command", options=options)
    with pytest.raises(LoadFailure) as caught:
        await (await start(births, spec)).ready()
    assert message in caught.value.message
    assert caught.value.certain


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens, and never answers."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


async def test_a_port_that_was_taken_is_tried_anew(
    births: Births, tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([taken, taken, command.free_port()])
    monkeypatch.setattr(command, "free_port", lambda: next(ports))
    server = await start(births, foreign(tmp_path))
    await server.ready()
    assert (await told(server))["args"] == [server.url.rpartition(":")[2]]
    assert not server.url.endswith(f":{taken}")
    assert list(births.known()) == [server.uuid]
    await server.stop(5)


async def test_ports_are_not_tried_for_ever(
    births: Births, tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "free_port", lambda: taken)
    server = await start(births, foreign(tmp_path))
    with pytest.raises(LoadFailure, match="Address already in use"):
        await server.ready()
    assert server.log_tail(1000).count("Address already in use") == command.PORT_TRIES
    await server.stop(0)


async def test_one_that_is_stopped_while_it_starts_is_not_started_anew(
    births: Births, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(command, "free_port", lambda: asked.append(taken) or taken)
    server = await start(births, python("import signal; signal.pause()"))
    ready = asyncio.create_task(server.ready())
    await server.stop(1)
    with pytest.raises(LoadFailure):
        await ready
    assert asked == [taken], "one port, one try"
    assert births.known() == {}


async def test_a_deaf_server_hears_term_once_and_is_killed_with_what_escaped(births: Births, tmp_path: Path) -> None:
    server = await start(births, foreign(tmp_path, "--deaf", "--escape"))
    await server.ready()
    pids = [process.pid for process in process_tree.escaped(server.uuid)]
    assert len(pids) == 3, "guard, server, escaped grandchild"
    await server.stop(0.5)
    assert server.log_tail().splitlines().count("TERM") == 1
    assert not [pid for pid in pids if runs(pid)]


async def test_when_the_server_or_its_guard_dies_nothing_is_left(births: Births, tmp_path: Path) -> None:
    for victim in ("server", "guard"):
        server = await start(births, foreign(tmp_path, "--escape"))
        await server.ready()
        pids = [process.pid for process in process_tree.escaped(server.uuid)]
        os.kill((await told(server))["pid"] if victim == "server" else server.pid, signal.SIGKILL)
        assert await server.wait() == -9
        await server.stop(5)
        assert not [pid for pid in pids if runs(pid)], victim


async def test_the_guard_alone_ends_what_its_server_leaves(births: Births) -> None:
    """The manager may be busy, or go at that very moment."""
    code = (
        "import subprocess, sys\n"
        "far = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], start_new_session=True)\n"
        "print(far.pid)"
    )
    server = await start(births, python(code))
    assert await server.wait() == 0
    assert not runs(json.loads(server.log_tail(1)))
    await server.stop(0)
