"""Everything passes to an external server: forms, any method, any path below /upstream, and WebSockets."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx2
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from contract.config import hash_key
from scripts.testbed.server import RunningServer, eventually, fake_model, in_background
from tests.support.external_server import web_command

KEY = "a-client's-key"
HEADERS = {"authorization": f"Bearer {KEY}"}
PAGE = "https://page.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("external")
    options = {"cmd": web_command(folder), "ready": "/up"}
    models = [
        {"id": "org/web", "engine": "command", "tasks": ["chat"], "options": options, "aliases": ["org"]},
        {"id": "named", "engine": "command", "tasks": ["chat"], "options": options | {"model_name": "its/name"}},
        fake_model("ours"),
    ]
    keys = [{"name": "client", "key_hash": hash_key(KEY), "rate_limit": "1000/minute", "scopes": ["admin"]}]
    sections: dict[str, Any] = {
        "security": {"api_keys": keys, "allow_localhost": False},
        "gateway": {"cors_origins": [PAGE], "max_body_mb": 40, "send_timeout": 5},
        "resources": {"max_concurrent_requests": 128, "max_wait": 60},
    }
    with RunningServer(folder / "server", models, **sections) as server:
        yield server


@asynccontextmanager
async def talking(server: RunningServer, path: str, **options: Any) -> AsyncIterator[ClientWebSocketResponse]:
    """An open WebSocket; its server's first message has been sent."""
    headers = HEADERS | options.pop("headers", {})
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(server.url + path, headers=headers, max_msg_size=0, **options) as websocket,
    ):
        yield websocket


def test_sdk_transcribes_with_the_servers_own_model_name(server: RunningServer) -> None:
    audio = os.urandom(3_000_000)
    client = server.client.with_options(api_key=KEY)
    for name, expected in (("org/web", "org/web"), ("named", "its/name")):
        answer = client.audio.transcriptions.create(model=name, file=("a.wav", io.BytesIO(audio)))
        assert answer.text == f"{expected} a.wav {hashlib.sha256(audio).hexdigest()}"


def test_every_method_passes_unchanged(server: RunningServer) -> None:
    path = "/upstream/org%2Fweb//a%2Fb/%C3%A9?x=1&model=org&%20"
    sent = HEADERS | {"connection": "x-hop", "x-hop": "1", "x-kept": "2", "cookie": "a=b", "te": "trailers"}
    for method in ("GET", "DELETE", "PUT", "PATCH", "OPTIONS", "POST"):
        body = b"" if method in {"GET", "OPTIONS"} else os.urandom(300_000)
        answer = httpx2.request(method, server.url + path, content=body, headers=sent, timeout=200, trust_env=False)
        report = answer.json()
        assert (report["method"], report["path"]) == (method, "//a%2Fb/%C3%A9?x=1&model=org&%20")
        assert report["sha256"] == hashlib.sha256(body).hexdigest()
        headers = dict(report["headers"])
        assert KEY not in str(report)
        assert headers["authorization"].startswith("Bearer "), "the worker's own token"
        assert "x-kept" in headers
        assert {"x-hop", "cookie", "te"}.isdisjoint(headers)
        assert answer.headers["x-own"] == "2"
        assert "x-private" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_paths_of_the_manager_reach_the_server_too(server: RunningServer) -> None:
    for path in ("/health", "/ready", "/metrics", "/models"):
        assert server.get(f"/upstream/org/web{path}", headers=HEADERS).json()["path"] == path
    assert server.get("/upstream/org", headers=HEADERS, follow_redirects=True).json()["path"] == "/"
    deleted = httpx2.delete(f"{server.url}/v1/responses/r1?model=named", headers=HEADERS, timeout=200, trust_env=False)
    assert (deleted.json()["method"], deleted.json()["path"]) == ("DELETE", "/v1/responses/r1?model=its%2Fname")
    compacted = server.post("/v1/responses/compact", {"model": "named"}, headers=HEADERS).json()
    assert (compacted["method"], compacted["path"]) == ("POST", "/v1/responses/compact")
    assert server.get("/v1/files?model=named", headers=HEADERS).json()["path"] == "/v1/files?model=its%2Fname"


def test_what_chat_servers_serve_as_well_passes(server: RunningServer) -> None:
    for path in ("/v1/completions", "/v1/tokenize"):
        report = server.post(path, {"model": "named", "prompt": "x"}, headers=HEADERS).json()
        assert (report["method"], report["path"]) == ("POST", path)
    refused = server.post("/v1/embeddings", {"model": "named", "input": "x"}, headers=HEADERS)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_task")


def test_redirects_lead_to_the_server(server: RunningServer) -> None:
    for query, location in (
        ("", "/upstream/org%2Fweb/there?x=1"),
        ("?to=/here", "/upstream/org%2Fweb/here"),
        ("?to=here", "here"),
        ("?to=https://elsewhere.example/x", "https://elsewhere.example/x"),
    ):
        answer = server.get(f"/upstream/org%2Fweb/redirect{query}", headers=HEADERS)
        assert (answer.status_code, answer.headers["location"]) == (302, location)


async def test_websocket_passes_all_messages(server: RunningServer) -> None:
    protocols = ("realtime", f"openai-insecure-api-key.{KEY}")
    async with talking(server, "/v1/realtime?model=named&x=1", protocols=protocols, compress=15) as websocket:
        hello = await websocket.receive_json()
        assert hello["path"] == "/v1/realtime?model=its%2Fname&x=1"
        assert KEY not in str(hello)
        assert websocket.protocol == "realtime"
        assert websocket.compress
        await websocket.send_str("ä text")
        assert await websocket.receive_str() == "ä text"
        large = os.urandom(3_000_000)
        await asyncio.gather(websocket.send_bytes(large), check_bytes(websocket, large))
        assert worker(server, "named")["leases"] == 1
        await websocket.send_str("close 4001")
        assert (await websocket.receive()).data == 4001
    await lease_ends(server)


async def test_lost_server_closes_the_websocket(server: RunningServer) -> None:
    for command in ("drop", "die"):
        async with talking(server, "/upstream/named/v1/realtime") as websocket:
            await websocket.receive_json()
            await websocket.send_str(command)
            message = await websocket.receive()
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1011)
            assert "without closing the WebSocket" in str(message.extra)


async def test_forced_eviction_closes_the_websocket(server: RunningServer) -> None:
    async with talking(server, "/upstream/named/v1/realtime") as websocket:
        await websocket.receive_json()
        evicting = in_background(server.post, "/v1/system/evict/named?force=true", headers=HEADERS)
        message = await websocket.receive()
        assert message.type is WSMsgType.CLOSE
        assert evicting.result(60).json()["evicted"]


async def test_websocket_of_a_vanished_client_ends(server: RunningServer) -> None:
    async with talking(server, "/v1/realtime?model=named") as websocket:
        await websocket.receive_json()
        before = worker(server, "named")
        assert before["leases"] == 1
        assert websocket._response.connection
        websocket._response.connection.transport.abort()
        await lease_ends(server)


async def test_client_that_never_reads_is_cut_off(server: RunningServer) -> None:
    async with talking(server, "/v1/realtime?model=named") as websocket:
        await websocket.receive_json()
        await websocket.send_str("flood")
        connection = websocket._response.connection
        assert connection
        assert connection.transport
        connection.transport.pause_reading()
        await lease_ends(server)
    assert "cut off" in server.log("gateway")


async def test_a_hundred_websockets_at_once(server: RunningServer) -> None:
    async def talk(client: aiohttp.ClientSession, number: int) -> None:
        async with client.ws_connect(f"{server.url}/v1/realtime?model=named", headers=HEADERS) as websocket:
            await websocket.receive_json()
            all_open.release()
            await enough.wait()
            await websocket.send_str(f"number {number}")
            assert await websocket.receive_str() == f"number {number}"

    all_open, enough = asyncio.Semaphore(0), asyncio.Event()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client, asyncio.TaskGroup() as tasks:
        for number in range(100):
            tasks.create_task(talk(client, number))
        for _ in range(100):
            await all_open.acquire()
        assert worker(server, "named")["leases"] == 100
        enough.set()
    await lease_ends(server)


async def test_refused_handshake_is_a_plain_response(server: RunningServer) -> None:
    refusals: list[tuple[str, dict[str, str], int]] = [
        ("/upstream/named/refusing", HEADERS, 403),
        ("/upstream/named/v1/realtime", {}, 401),
        ("/v1/realtime", HEADERS, 404),
        ("/v1/realtime?model=unknown", HEADERS, 404),
        ("/upstream/ours/v1/realtime", HEADERS, 404),
        ("/upstream/named/v1/realtime", HEADERS | {"origin": "https://evil.example"}, 403),
    ]
    async with aiohttp.ClientSession() as client:
        for path, headers, status in refusals:
            with pytest.raises(WSServerHandshakeError) as refused:
                await client.ws_connect(server.url + path, headers=headers)
            assert refused.value.status == status, path


async def test_web_page_sends_its_key_as_a_subprotocol(server: RunningServer) -> None:
    protocols = ["realtime", f"openai-insecure-api-key.{KEY}"]
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(
            f"{server.url}/v1/realtime?model=named", headers={"origin": PAGE}, protocols=protocols
        ) as websocket,
    ):
        hello = await websocket.receive_json()
    assert KEY not in str(hello)


def test_cut_upload_never_reaches_the_server(server: RunningServer) -> None:
    assert server.get("/upstream/named/x", headers=HEADERS).status_code == 200
    eventually("the lease ends", lambda: worker(server, "named")["leases"] == 0)
    served = worker(server, "named")["served"]
    host, port = server.url.removeprefix("http://").split(":")
    head = (
        f"POST /upstream/named/x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 9000000\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + bytes(5_000_000))
    answer = server.get("/upstream/named/y", headers=HEADERS)
    assert answer.json()["path"] == "/y"
    eventually("only this one was served", lambda: worker(server, "named")["served"] == served + 1)


async def test_access_log_and_metrics_have_every_request(server: RunningServer) -> None:
    async with talking(server, "/v1/realtime?model=named", headers={"x-request-id": "talk"}) as websocket:
        await websocket.receive_json()
    answer = server.get("/upstream/org/web/x", headers=HEADERS | {"x-request-id": "look"})
    assert answer.headers["x-request-id"] == "look"
    await asyncio.to_thread(eventually, "it is logged", lambda: _LOOK.search(server.log("gateway")))
    await asyncio.to_thread(eventually, "it is logged", lambda: _TALK.search(server.log("gateway")))
    metrics = server.get("/metrics", headers=HEADERS).text
    assert 'api_requests_total{endpoint="/v1/{path}",status="101"}' in metrics


_LOOK = re.compile(r"\| look \| 127.0.0.1 \| /upstream/\{model\}/\{path\} \| 200 \| [0-9.]+ \| org/web")
_TALK = re.compile(r"\| talk \| 127.0.0.1 \| /v1/\{path\} \| 101 \| [0-9.]+ \| named")


async def lease_ends(server: RunningServer) -> None:
    """Wait until no request or WebSocket uses the server; the event loop goes on meanwhile."""
    await asyncio.to_thread(eventually, "the lease ends", lambda: worker(server, "named")["leases"] == 0)


async def check_bytes(websocket: ClientWebSocketResponse, expected: bytes) -> None:
    assert await websocket.receive_bytes() == expected


def worker(server: RunningServer, model: str) -> dict[str, Any]:
    workers: list[dict[str, Any]] = [w for w in status(server)["workers"] if w["model"] == model]
    return workers[-1] if workers else {"leases": 0, "served": 0}


def status(server: RunningServer) -> dict[str, Any]:
    result: dict[str, Any] = server.get("/v1/system/status", headers=HEADERS).json()
    return result
