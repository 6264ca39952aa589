"""Clients that do not read their answers hold up nothing but themselves."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.http import local_client
from scripts.testbed.server import RunningServer, eventually, fake_model, in_background
from tests.support.external_server import external_command
from tests.support.sockets import more_than_sockets_hold

SIZE = more_than_sockets_hold()
"""Bytes of an answer that exceeds the system's buffers between manager and client."""

WHOLE = {"model": "external", "messages": [{"role": "user", "content": "x"}], "size": SIZE}
STREAM = {"model": "external", "prompt": "x", "stream": True, "events": 220, "size": SIZE // 220}


def models(folder: Path) -> list[dict[str, Any]]:
    options = {"cmd": external_command(folder), "ready": "/up"}
    return [fake_model(), {"id": "external", "engine": "command", "tasks": ["chat"], "options": options}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that answers one request at a time."""
    folder = tmp_path_factory.mktemp("slow")
    with RunningServer(folder / "server", models(folder), resources={"max_concurrent_requests": 1}) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that soon cuts off clients that do not read."""
    folder = tmp_path_factory.mktemp("impatient")
    with RunningServer(folder / "server", models(folder), gateway={"send_timeout": 0.3}) as server:
        yield server


@contextmanager
def unread_answer(server: RunningServer, body: dict[str, Any]) -> Iterator[socket.socket]:
    """A client that sends a request, and has not read anything of its answer when its worker is free."""
    path, content = "/v1/completions" if "prompt" in body else "/v1/chat/completions", json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(60)
        host, _, port = server.url.removeprefix("http://").partition(":")
        client.connect((host, int(port)))
        client.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        yield client


def served(server: RunningServer) -> int:
    return sum(worker["served"] for worker in server.workers("external"))


def rest_of(client: socket.socket) -> bytes:
    """Everything that the client has yet to read, until the connection ends or breaks."""
    received = bytearray()
    try:
        while piece := client.recv(2**20):
            received += piece
    except ConnectionError:
        pass
    return bytes(received)


def metric(server: RunningServer, program: str, name: str) -> float:
    """The sum of a metric over its labels."""
    token = (server.home / "manager" / "token").read_text().strip()
    url = (server.home / program / "address").read_text().strip()
    with local_client() as http:
        page = http.get(f"{url}/metrics", headers={"authorization": f"Bearer {token}"}).text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if re.match(rf"{name}[ {{]", line))


def peak_memory(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match
    return int(match[1]) * 1024


def test_others_are_answered_and_eviction_completes(server: RunningServer) -> None:
    assert server.chat("m").status_code == server.chat("external").status_code == 200
    manager = server.processes["manager"].pid
    before, had = served(server), peak_memory(manager)
    with unread_answer(server, WHOLE) as client:
        eventually("its worker is free", lambda: served(server) > before)
        assert server.chat("m").status_code == 200
        assert server.post("/v1/system/evict/external").json()["evicted"]
        assert server.workers("external") == []
        head, _, body = rest_of(client).partition(b"\r\n\r\n")
    assert (head[:13], len(body)) == (b"HTTP/1.1 200 ", SIZE)
    assert json.loads(body)["got"] == WHOLE
    assert peak_memory(manager) - had < 8 * 2**20
    eventually("the space is free", lambda: metric(server, "manager", "spooled_bytes") == 0)


def test_stream_arrives_whole_once_its_client_reads(server: RunningServer) -> None:
    before = served(server)
    with unread_answer(server, STREAM) as client:
        eventually("its worker is free", lambda: served(server) > before)
        received = rest_of(client)
    assert received.count(b'data: {"junk": ') == STREAM["events"]
    assert b"data: [DONE]\n\n" in received


def test_client_gets_what_there_was_when_the_worker_broke_off(server: RunningServer) -> None:
    before = served(server)
    with unread_answer(server, {**WHOLE, "sent": SIZE - 1}) as client:
        eventually("its lease has ended", lambda: served(server) > before)
        body = rest_of(client).partition(b"\r\n\r\n")[2]
    assert SIZE - 2**20 < len(body) < SIZE, "what the worker sent last breaks off with its connection"


def test_disconnect_frees_the_spool(server: RunningServer) -> None:
    before = served(server)
    with unread_answer(server, WHOLE):
        eventually("its worker is free", lambda: served(server) > before)
        assert metric(server, "manager", "spooled_bytes") > 0
    eventually("the space is free", lambda: metric(server, "manager", "spooled_bytes") == 0)


def test_worker_waits_for_its_client_without_room(server: RunningServer) -> None:
    server.write_config(models(server.folder.parent), resources={"spool_mb": 1})
    assert server.post("/v1/system/reload").status_code == 200
    with unread_answer(server, WHOLE) as client:
        eventually("the spool is full", lambda: metric(server, "manager", "spool_full_total") == 1)
        assert server.workers("external")[0]["leases"] == 1
        assert len(rest_of(client).partition(b"\r\n\r\n")[2]) == SIZE
    assert "waits for its client" in server.log("manager")


def test_client_that_reads_nothing_is_cut_off(impatient: RunningServer) -> None:
    with unread_answer(impatient, WHOLE) as client:
        eventually("it is cut off", lambda: metric(impatient, "gateway", "stalled_clients_total") == 1)
        assert len(rest_of(client)) < SIZE
    assert "cut off 127.0.0.1, which read nothing of its answer to POST /v1/chat" in impatient.log("gateway")
    eventually("the space is free", lambda: metric(impatient, "manager", "spooled_bytes") == 0)


def test_manager_cuts_off_a_gateway_that_reads_nothing(impatient: RunningServer) -> None:
    gateway = impatient.processes["gateway"]
    with ExitStack() as clients:
        eventually("it is stopped with an answer to read", lambda: stopped_with_an_answer(impatient, clients))
        eventually("it is cut off", lambda: metric(impatient, "manager", "stalled_clients_total") > 0)
        gateway.send_signal(signal.SIGCONT)


def stopped_with_an_answer(server: RunningServer, clients: ExitStack) -> bool:
    """Ask, and stop the gateway, unless it has cut the client off by then: it soon does."""
    clients.enter_context(unread_answer(server, WHOLE))
    eventually("its answer waits", lambda: metric(server, "manager", "spooled_bytes") > 0)
    server.processes["gateway"].send_signal(signal.SIGSTOP)
    if metric(server, "manager", "spooled_bytes") > 0:
        return True
    server.processes["gateway"].send_signal(signal.SIGCONT)
    return False


def test_slow_reader_gets_the_rest_while_the_server_stops(tmp_path: Path) -> None:
    resources = {"shutdown_timeout": 60}
    with (
        RunningServer(tmp_path / "server", models(tmp_path), resources=resources) as server,
        unread_answer(server, WHOLE) as client,
    ):
        eventually("its worker is free", lambda: served(server) == 1)
        stopping = [in_background(server.stop, name) for name in ("gateway", "manager")]
        assert len(rest_of(client).partition(b"\r\n\r\n")[2]) == SIZE
        assert [program.result() for program in stopping] == [0, 0]
