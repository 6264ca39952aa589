"""Paths for external servers: which are forwarded, and which could reach beyond /v1."""

from __future__ import annotations

import uuid

import pytest

from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess

BODY = b'{"model": "external"}'


def post(gateway: GatewayProcess, path: str, request_id: str) -> bytes:
    """The response's status line; a plain connection sends the path as it is."""
    with gateway.connect() as client:
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n"
        client.sendall(f"{head}x-request-id: {request_id}\r\n\r\n".encode() + BODY)
        return client.recv(65536).partition(b"\r\n")[0]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/moderations", "/upstream/external/x"])
def test_header_says_how_long_the_model_stays(gateway: GatewayProcess, manager: FakeManagerProcess, path: str) -> None:
    request_id = uuid.uuid4().hex
    headers = {"x-keep-alive": "5m", "x-request-id": request_id}
    body = {"model": "external", "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.http.post(path, json=body, headers=headers).status_code == 200
    [received] = manager.received(request_id)
    assert received["headers"]["x-enginehouse-keep-alive"] == "300.0"
    assert "x-keep-alive" not in received["headers"]
    assert gateway.http.post(path, json=body, headers={"x-keep-alive": "soon"}).status_code == 400


@pytest.mark.parametrize("path", ["/v1/moderations", "/v1/a%20b/c..d", "/v1/...", "/v1/a/%2525"])
def test_forwards_other_paths_unchanged(gateway: GatewayProcess, manager: FakeManagerProcess, path: str) -> None:
    request_id = uuid.uuid4().hex
    assert post(gateway, path, request_id) == b"HTTP/1.1 200 OK"
    assert len(manager.received(request_id)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../control",
        "/v1/./x",
        "/v1/a/..",
        "/v1/%2e%2E/x",
        "/v1/..%2fx",
        "/v1/%252e%252e/x",
        "/v1/..\\x",
        "/v1/..;a/x",
        "/v1/%" + "25" * 20_000 + "41",  # encoded more often than any server decodes
    ],
)
def test_rejects_dot_segments(gateway: GatewayProcess, manager: FakeManagerProcess, path: str) -> None:
    request_id = uuid.uuid4().hex
    assert post(gateway, path, request_id) == b"HTTP/1.1 404 Not Found"
    assert manager.received(request_id) == []
