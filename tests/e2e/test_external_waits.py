"""What waits around external servers: a stream for its server, a WebSocket under a stopped manager, and an eviction."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from scripts.testbed.http import local_client
from scripts.testbed.server import PATIENCE, RunningServer, eventually, in_background
from tests.support.external_server import external_command, web_command

TALK = "/upstream/talking/v1/realtime"
PROGRAM = {"engine": "command", "tasks": ["chat"]}
SECTIONS: dict[str, Any] = {"gateway": {"stream_wait": 0.1, "manager_silence": 3}}


def gated(command: str, gate: Path) -> dict[str, Any]:
    """The options of a server that loads until its gate is there."""
    waiting = f"while [ ! -e {gate} ]; do sleep 0.05; done; exec {command}"
    return {"cmd": f"sh -c '{waiting}'", "ready": "/up"}


def entries(folder: Path) -> list[dict[str, Any]]:
    slow = {**PROGRAM, "options": gated(external_command(folder), folder / "slow")}
    failing = {**PROGRAM, "options": gated(web_command(folder), folder / "failing")}
    talking = {**PROGRAM, "options": {"cmd": web_command(folder), "ready": "/up"}}
    return [{"id": "slow", **slow}, {"id": "failing", **failing}, {"id": "talking", **talking}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("waits")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with RunningServer(folder / "server", entries(folder), **SECTIONS) as server:
        yield server


@asynccontextmanager
async def talking(server: RunningServer) -> AsyncIterator[ClientWebSocketResponse]:
    """An open WebSocket; its server's first message has been read."""
    async with aiohttp.ClientSession() as client, client.ws_connect(server.url + TALK) as websocket:
        await websocket.receive_json()
        yield websocket


def test_stream_of_a_loading_server_gets_comments_first(server: RunningServer, folder: Path) -> None:
    body = {"model": "slow", "stream": True, "events": 2, "size": 9}
    server.begin_loading("slow")
    with server.stream("/v1/answers", body) as response:
        assert (response.status_code, response.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        lines = response.iter_lines()
        assert [next(lines), next(lines)] == [": loading slow for the first time", ""]
        (folder / "slow").touch()
        text = "".join(f"{line}\n" for line in lines)
    comments, data, events = text.partition("data: ")
    assert all(line.startswith(": ") for line in comments.split("\n") if line)
    assert data + events == server.post("/v1/answers", body).text, "as from a server that has loaded"
    assert events.count("\n\n") == 4


def test_refusal_of_a_loaded_server_is_the_streams_last_event(server: RunningServer, folder: Path) -> None:
    """A browser's EventSource asks with GET, and the head is gone when the server refuses."""
    address = f"{server.url}/upstream/failing/x?status=418"
    server.begin_loading("failing")
    accept = {"accept": "text/event-stream"}
    with local_client(timeout=PATIENCE) as client, client.stream("GET", address, headers=accept) as response:
        lines = (line for line in response.iter_lines() if line)
        assert next(lines) == ": loading failing for the first time"
        (folder / "failing").touch()
        *comments, last = lines
    assert all(line.startswith(": ") for line in comments)
    assert "status 418" in json.loads(last.removeprefix("data: "))["error"]["message"]


async def test_websocket_of_a_stopped_manager_is_closed_with_a_reason(server: RunningServer) -> None:
    manager = server.processes["manager"]
    async with talking(server) as websocket:
        manager.send_signal(signal.SIGSTOP)
        try:
            message = await websocket.receive()
        finally:
            manager.send_signal(signal.SIGCONT)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1013)
        assert "is stopped or hangs (no sign of life for 3 s)" in str(message.extra)
    await asyncio.to_thread(eventually, "it passes again", lambda: server.get("/upstream/talking/x").status_code == 200)
    await asyncio.to_thread(eventually, "the lease ends", lambda: leases(server) == [0])


async def test_eviction_waits_for_an_open_websocket(server: RunningServer) -> None:
    async with talking(server) as websocket:
        evicting = in_background(evict, server)
        await asyncio.to_thread(eventually, "it drains", lambda: states(server) == ["draining"])
        await websocket.send_str("still here")
        assert await websocket.receive_str() == "still here"
        assert not evicting.done()
        await websocket.close()
    assert (await asyncio.to_thread(evicting.result, PATIENCE))["evicted"]


@pytest.mark.e2e
async def test_eviction_closes_a_websocket_that_outlasts_its_bound(server: RunningServer, folder: Path) -> None:
    server.write_config(entries(folder), **SECTIONS, resources={"drain_timeout": 0.2})
    assert server.post("/v1/system/reload").status_code == 200
    async with talking(server) as websocket:
        evicting = in_background(evict, server)
        message = await websocket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1012)
        assert "it was still busy after 0.2 s" in str(message.extra)
    assert (await asyncio.to_thread(evicting.result, PATIENCE))["evicted"]


def evict(server: RunningServer) -> dict[str, Any]:
    answer: dict[str, Any] = server.post("/v1/system/evict/talking").json()
    return answer


def leases(server: RunningServer) -> list[int]:
    return [worker["leases"] for worker in server.workers("talking")]


def states(server: RunningServer) -> list[str]:
    return [worker["state"] for worker in server.workers("talking")]
