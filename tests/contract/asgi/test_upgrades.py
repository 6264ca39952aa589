"""WebSockets of an app in this process: a proxy to a server that only knows bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send
from yarl import URL

from contract.asgi import serve
from contract.asgi.body import ClientDisconnected
from contract.asgi.draining import DrainMiddleware, RequestsInProgress
from contract.asgi.middleware import RequestMiddleware
from contract.asgi.relay import UpstreamError
from contract.asgi.tunnel import open_tunnel, received, relay_answer

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
HANDSHAKE = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\r\n"
FRAME = b"\x82\x03abc"


class Relay:
    """An app that relays every request as a WebSocket to `url`. `ended`: the last one ended because its client left."""

    def __init__(self, url: URL) -> None:
        self.ended = asyncio.Event()
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        assert scope["websocket"]
        try:
            async with open_tunnel(self._url, []) as tunnel:
                await relay_answer(tunnel, tunnel.headers, received(receive), scope, send)
        except ClientDisconnected:
            self.ended.set()


class Running:
    """A relay in front of a peer, and a client's connection to it."""

    def __init__(self, server: serve.AppServer, relay: Relay) -> None:
        self.server = server
        self.relay = relay
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter


@asynccontextmanager
async def relaying(peer: Peer) -> AsyncIterator[Running]:
    """A client that has sent its handshake through a relay to a server that `peer` is."""
    requests = RequestsInProgress()

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer(reader, writer)
        writer.close()

    async with await asyncio.start_server(closing, "127.0.0.1", 0) as behind:
        relay = Relay(URL(f"http://127.0.0.1:{behind.sockets[0].getsockname()[1]}/x"))
        app = RequestMiddleware(DrainMiddleware(relay, requests))
        running = Running(serve.server(app, requests=requests, graceful=30), relay)
        sock = serve.listen("127.0.0.1", 0)
        serving = asyncio.create_task(running.server.serve([sock]))
        running.reader, running.writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
        running.writer.write(HANDSHAKE)
        yield running
        running.writer.close()
        running.server.should_exit = True
        await serving


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ACCEPTED)


async def test_bytes_pass_in_both_directions() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        while data := await reader.read(65536):
            writer.write(data.upper())

    async with relaying(peer) as running:
        head = await running.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"transfer-encoding" not in head
        assert b"connection: close" not in head
        for part in (b"one", b"http/1.1 200 ok", b"x" * 300_000):
            running.writer.write(part)
            assert await running.reader.readexactly(len(part)) == part.upper()


async def test_last_bytes_of_a_client_reach_the_server() -> None:
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        arrived.set_result(await reader.read())

    async with relaying(peer) as running:
        await running.reader.readuntil(b"\r\n\r\n")
        running.writer.write(b"y" * 100_000 + FRAME)
        running.writer.close()
        assert await arrived == b"y" * 100_000 + FRAME
        await running.relay.ended.wait()


async def test_connection_without_a_close_frame_gets_one() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        writer.write(FRAME)

    async with relaying(peer) as running:
        await running.reader.readuntil(b"\r\n\r\n")
        rest = await running.reader.read()
    assert rest[: len(FRAME)] == FRAME
    assert rest[len(FRAME)] == 0x88
    assert int.from_bytes(rest[len(FRAME) + 2 :][:2]) == 1011


async def test_connection_that_breaks_inside_a_frame_is_aborted() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        writer.write(FRAME[:3])

    async with relaying(peer) as running:
        await running.reader.readuntil(b"\r\n\r\n")
        assert await running.reader.read() == FRAME[:3]


async def test_close_frame_of_the_server_is_the_last() -> None:
    close = b"\x88\x02\x03\xe8"

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        writer.write(FRAME + close)

    async with relaying(peer) as running:
        await running.reader.readuntil(b"\r\n\r\n")
        assert await running.reader.read() == FRAME + close


async def test_stopping_server_closes_websockets_at_once() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        await reader.read()

    async with relaying(peer) as running:
        await running.reader.readuntil(b"\r\n\r\n")
        running.server.should_exit = True
        rest = await running.reader.read()
    assert rest[0] == 0x88
    assert int.from_bytes(rest[2:4]) == 1012


async def test_refusal_is_a_plain_response() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async with relaying(peer) as running:
        answer = await running.reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in head
    assert body == b"no"


async def test_server_without_an_answer_is_an_error() -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"no HTTP\r\n\r\n")
        writer.close()

    for peer in (closes, babbles):
        async with await asyncio.start_server(peer, "127.0.0.1", 0) as server:
            url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")
            with pytest.raises(UpstreamError) as raised:
                await open_tunnel(url, []).__aenter__()
            assert not raised.value.began
