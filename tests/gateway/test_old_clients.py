"""Clients of HTTP/1.0, and clients that close their sending side after the request."""

from __future__ import annotations

import io
import json
import socket
from functools import partial
from http.client import HTTPResponse

import pytest

from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess, eventually

STREAM = {"model": "stream", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def exchange(gateway: GatewayProcess, version: str, path: str, body: bytes = b"", half_close: bool = True) -> bytes:
    """Everything that the gateway sends until it closes the connection."""
    with gateway.connect() as client:
        method = "POST" if body else "GET"
        head = f"{method} {path} HTTP/{version}\r\nhost: x\r\ncontent-type: application/json\r\n"
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(65536):
            received += data
        return received


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_half_closed_clients_get_answers(gateway: GatewayProcess, version: str) -> None:
    for path, body in (
        ("/healthz", b""),
        ("/v1/system/status", b""),
        ("/v1/chat/completions", json.dumps(STREAM).encode()),
    ):
        ask = partial(exchange, gateway, version, path, body)
        answer = eventually(ask) if version == "1.0" else ask()  # there it must begin within 2 s
        assert b"HTTP/1.1 200 OK" in answer, path


def test_http_1_0_gets_no_chunks(gateway: GatewayProcess) -> None:
    answer = exchange(gateway, "1.0", "/v1/chat/completions", json.dumps(STREAM).encode(), False)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


def half_closed_after(gateway: GatewayProcess, model: str, mark: bytes) -> tuple[socket.socket, bytes]:
    """A client that closes its sending side once it has received `mark`, and what it has received until then."""
    body = json.dumps(STREAM | {"model": model}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: half-{model}\r\n"
    client = gateway.connect()
    client.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    received = b""
    while mark not in received:
        received += client.recv(65536)
    client.shutdown(socket.SHUT_WR)
    return client, received


def probes(received: bytes) -> int:
    """How often the gateway has tried whether the client is still there: with a zero, where a chunk may begin."""
    rest = received.rstrip(b"0")
    return len(received) - len(rest) if rest.endswith(b"\r\n") else 0


class _Received:
    """Bytes in place of a socket, for `HTTPResponse`."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def test_client_may_half_close_within_a_stream(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    client, received = half_closed_after(gateway, "handshake", b"data: ")
    with client:
        while probes(received) < 2:
            received += client.recv(65536)
        for _ in range(4):
            manager.control("go")
        while data := client.recv(65536):
            received += data
    response = HTTPResponse(_Received(received))  # type: ignore[arg-type]
    response.begin()
    assert response.read().count(b"data: ") == 5


def test_half_closed_client_waits_for_a_slow_answer(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    body = json.dumps(STREAM | {"model": "hangs"}).encode()
    with gateway.connect() as client:
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-request-id: half\r\n"
        )
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        client.shutdown(socket.SHUT_WR)
        eventually(lambda: manager.received("half"))
        while client.recv(1024).count(b"100 Continue") < 1:
            pass
        assert "half" not in manager.control()["disconnected"]
    eventually(lambda: "half" in manager.control()["disconnected"])


def test_disconnect_after_half_closing_ends_a_stream(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    client, received = half_closed_after(gateway, "hangs-in-stream", b"data: ")
    with client:
        while not probes(received):
            received += client.recv(65536)
        assert "half-hangs-in-stream" not in manager.control()["disconnected"]
    eventually(lambda: "half-hangs-in-stream" in manager.control()["disconnected"])
