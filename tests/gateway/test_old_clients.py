"""Clients of HTTP/1.0, and clients that close their sending side after the request."""

from __future__ import annotations

import json
import socket

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
        answer = exchange(gateway, version, path, body)
        assert b"HTTP/1.1 200 OK" in answer, path


def test_http_1_0_gets_no_chunks(gateway: GatewayProcess) -> None:
    answer = exchange(gateway, "1.0", "/v1/chat/completions", json.dumps(STREAM).encode(), False)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


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
