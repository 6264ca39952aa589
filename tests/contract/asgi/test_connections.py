"""Limits of connections: heads, bodies, time and number, of a server in this process."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.asgi import connections, serve
from contract.asgi.body import read_body
from contract.asgi.connections import ConnectionLimits, raise_descriptor_limit

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request's headers, after its body."""
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await read_body(scope, receive, 2**30)
    body = b"".join(name + b";" for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def running(limits: ConnectionLimits, app: ASGIApp = app) -> AsyncIterator[int]:
    """Serve an app until the end of the block; yields its port."""
    sock = serve.listen("127.0.0.1", 0)
    server = serve.server(app, graceful=1, limits=limits)
    serving = asyncio.create_task(server.serve([sock]))
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def exchange(port: int, *pieces: bytes) -> bytes:
    """Send the pieces and return everything that the server sends until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def tight() -> ConnectionLimits:
    return ConnectionLimits(head_seconds=0.1, grace=0.1, check_every=0.02)


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"a: " + b"x" * 200_000,
        HEAD + b"a: b\r\n" * 200 + b"\r\n",
        HEAD + b"a" * 200_000,
        b"GET /" + b"x" * 200_000,
        HEAD + b"a: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
    ids=["endless value", "many headers", "endless name", "endless path", "whole"],
)
async def test_a_large_head_is_refused(head: bytes) -> None:
    async with running(ConnectionLimits()) as port:
        answer = await exchange(port, head)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b"headers_too_large" in answer


@pytest.mark.parametrize(
    "body",
    [b"1;" + b"x" * 200_000, b"1\r\na\r\n0\r\nt: " + b"x" * 200_000],
    ids=["chunk extension", "trailer"],
)
async def test_endless_chunk_parts_are_refused(body: bytes) -> None:
    async with running(ConnectionLimits()) as port:
        assert (await exchange(port, HEAD + b"transfer-encoding: chunked\r\n\r\n" + body)).startswith(b"HTTP/1.1 4")


async def test_trailers_are_dropped() -> None:
    async with running(ConnectionLimits()) as port:
        request = HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-api-key: k\r\n\r\n"
        assert (await exchange(port, request)).endswith(b"\r\n\r\nhost;connection;transfer-encoding;")


async def test_requests_beyond_the_pipeline_are_not_read() -> None:
    async with running(ConnectionLimits(pipelined=4)) as port:
        assert (await exchange(port, (HEAD + b"content-length: 0\r\n\r\n") * 1000)).count(b"HTTP/1.1 200 OK") == 5


async def test_disconnect_reaches_the_request_that_is_answered() -> None:
    told = asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        while (await receive())["type"] != "http.disconnect":
            pass
        told.set()

    async with running(ConnectionLimits(), waiting) as port, asyncio.timeout(60):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((HEAD + b"content-length: 0\r\n\r\n") * 3)
        await writer.drain()
        writer.transport.abort()
        await told.wait()


@pytest.mark.parametrize("start", [HEAD, HEAD + b"content-length: 9\r\n\r\nx"], ids=["head", "body"])
async def test_slow_requests_time_out(start: bytes) -> None:
    async with running(tight()) as port:
        while not (answer := await exchange(port, start)):  # it came so late that its connection was closed as unused
            pass
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"request_timeout" in answer


async def test_unused_connections_are_closed() -> None:
    async with running(tight()) as port:
        assert await exchange(port) == b""


@pytest.mark.parametrize("limits", [ConnectionLimits(connections=1), ConnectionLimits(per_address=1)])
async def test_too_many_connections_get_the_true_reason(limits: ConnectionLimits) -> None:
    request = HEAD + b"connection: close\r\n\r\n"
    async with running(limits) as port:
        _, first = await asyncio.open_connection("127.0.0.1", port)
        answer = await exchange(port, request)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"too_many_connections" in answer
        first.close()
        while b" 503 " in answer:  # until the server has noticed that the first one is closed
            answer = await exchange(port, request)
        assert answer.startswith(b"HTTP/1.1 200 ")


class LargeAnswer:
    """An app that answers with 32 MiB in so many pieces."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % 2**25)]})
        for number in range(self._pieces):
            body = bytes(2**25 // self._pieces)
            await send({"type": "http.response.body", "body": body, "more_body": number < self._pieces - 1})


class NextRecord(logging.Handler):
    """Waits for the next record of a logger."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._message: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._logger = logger
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._logger.removeHandler(self)
        self._message.set_result(record.getMessage())

    async def message(self) -> str:
        return await self._message


@pytest.mark.parametrize("pieces", [1, 256], ids=["app is done", "app waits"])
async def test_client_that_reads_nothing_is_cut_off(pieces: int) -> None:
    async with running(ConnectionLimits(send_seconds=0.1, check_every=0.02), LargeAnswer(pieces)) as port:
        logged = NextRecord(connections.log)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(HEAD + b"\r\n")
        assert "cut off 127.0.0.1, which read nothing of its answer to POST /" in await logged.message()
        assert len(await reader.read()) < 2**25
        writer.close()


async def test_client_that_reads_is_not_cut_off() -> None:
    async with running(ConnectionLimits(send_seconds=100, check_every=0.02), LargeAnswer(256)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(HEAD + b"connection: close\r\n\r\n")
        assert len(await reader.read()) > 2**25
        writer.close()


async def test_exempt_addresses_have_no_limit_of_their_own() -> None:
    async with running(ConnectionLimits(per_address=1, is_exempt=lambda address: address == "127.0.0.1")) as port:
        _, first = await asyncio.open_connection("127.0.0.1", port)
        assert (await exchange(port, HEAD + b"connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        first.close()


def test_raises_the_limit_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[tuple[int, int]] = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, limits: wanted.append(limits))
    assert raise_descriptor_limit() == 4096
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert raise_descriptor_limit() == 65536
    assert wanted == [(4096, 4096), (65536, resource.RLIM_INFINITY)]


def test_accepted_connections_are_probed_while_they_are_silent() -> None:
    with serve.listen("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()):
        connection, _ = sock.accept()
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


INVALID = {
    "two lengths": HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nxxx",
    "length and chunks": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "signed length": HEAD + b"content-length: +2\r\n\r\nxx",
    "other encoding after chunks": HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "unknown encoding": HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "space before colon": HEAD + b"content-length : 2\r\n\r\nxx",
    "chunk of negative size": HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n",
    "chunk of huge size": HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "carriage return in a header": HEAD + b"x-request-id: a\rb\r\n\r\n",
    "null in the path": b"GET /\0 HTTP/1.1\r\n\r\n",
    "bytes in the path": b"GET /\xff HTTP/1.1\r\n\r\n",
    "bytes in the query": b"GET /?\xff HTTP/1.1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no method": b"\0" * 1000,
}


async def test_invalid_http_gets_the_envelope() -> None:
    async with running(tight()) as port:
        for name, request in INVALID.items():
            head, _, body = (await exchange(port, request)).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json"), name
            assert json.loads(body)["error"]["code"] == "invalid_request", name
            assert "http://, not https://" in json.loads(body)["error"]["message"], name
