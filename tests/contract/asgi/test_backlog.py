"""Connections that wait are accepted together, and not one in each turn of the event loop."""

from __future__ import annotations

import asyncio
import socket

import uvloop
from starlette.types import Receive, Scope, Send

from contract.asgi import serve

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
COUNT = 200


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with nothing."""
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def turns_until_accepted(clients: list[socket.socket]) -> int:
    """Connect the clients at once; the turns of the event loop until the server knows all of them."""
    sock = serve.listen("127.0.0.1", 0)
    server = serve.server(app, graceful=1)
    serving = asyncio.create_task(server.serve([sock]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0)
    for client in clients:
        client.connect(sock.getsockname())
    turns = 0
    while len(server.server_state.connections) < COUNT:
        turns += 1
        await asyncio.sleep(0)
    answers = [await asyncio.to_thread(exchange, client) for client in clients]
    assert all(answer.startswith(b"HTTP/1.1 204") for answer in answers)
    server.should_exit = True
    await serving
    return turns


def exchange(client: socket.socket) -> bytes:
    client.sendall(REQUEST)
    return client.recv(1000)


def test_a_thousandth_client_does_not_wait_for_a_thousand_turns() -> None:
    clients = [socket.socket() for _ in range(COUNT)]
    try:
        assert uvloop.run(turns_until_accepted(clients)) < COUNT / 4
    finally:
        for client in clients:
            client.close()
