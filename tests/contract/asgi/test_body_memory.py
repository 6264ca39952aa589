"""The bodies of all requests together take a bounded amount of memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from contract.asgi.body import read_body
from contract.asgi.body_memory import SMALL, BodyMemory, hold
from contract.errors import BodyMemoryFull
from gateway.forwarding.spooled_body import IN_MEMORY, SpooledBody

MIB = 2**20


class Reader:
    """An app that reads a body, and then waits until it may go on."""

    def __init__(self) -> None:
        self.read, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(scope, receive, 64 * MIB)
        self.read.set()
        await self.go_on.wait()


def sending(*chunks: bytes) -> Receive:
    """A client that sends a body in chunks."""
    messages: Iterator[Message] = iter(
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks)}
        for index, chunk in enumerate(chunks, 1)
    )

    async def receive() -> Message:
        return next(messages)

    return receive


async def ignore(_: Message) -> None:
    """A client that wants no answer."""


def scope() -> Scope:
    return {"type": "http", "headers": []}


async def test_bodies_together_have_a_bound() -> None:
    app = Reader()
    memory = BodyMemory(app, 3 * MIB)
    first = asyncio.create_task(memory(scope(), sending(b"x" * MIB, b"x" * MIB), ignore))
    await app.read.wait()
    assert memory.held == 2 * MIB
    with pytest.raises(BodyMemoryFull, match=r"take 3 MiB .* most 3 MiB .* gateway\.max_bodies_mb") as refused:
        await memory(scope(), sending(b"x" * MIB, b"x"), ignore)
    assert refused.value.headers == {"retry-after": "5"}
    assert memory.held == 2 * MIB
    app.go_on.set()
    await first
    assert memory.held == 0
    await memory(scope(), sending(b"x" * 3 * MIB), ignore)


async def test_large_bodies_never_keep_small_ones_out() -> None:
    app = Reader()
    memory = BodyMemory(app, MIB)
    first = asyncio.create_task(memory(scope(), sending(b"x" * MIB), ignore))
    await app.read.wait()
    app.go_on.set()
    await asyncio.gather(*(memory(scope(), sending(b"x" * SMALL), ignore) for _ in range(20)))
    await first


async def test_cancelled_request_frees_its_body() -> None:
    app = Reader()
    memory = BodyMemory(app, MIB)
    request = asyncio.create_task(memory(scope(), sending(b"x" * MIB), ignore))
    await app.read.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert memory.held == 0


async def test_task_that_outlives_its_request_counts_nothing() -> None:
    tasks: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def later() -> None:
        await over.wait()
        hold(MIB)

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        tasks.append(asyncio.create_task(later()))

    memory = BodyMemory(app, 1)
    await memory(scope(), sending(b""), ignore)
    over.set()
    await tasks[0]
    assert memory.held == 0


async def test_body_in_a_file_counts_while_it_is_in_memory() -> None:
    counted: list[int] = []

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        with SpooledBody() as body:
            await body.fill(scope, receive, 64 * MIB, lambda _: counted.append(memory.held))
            counted.append(memory.held)

    memory = BodyMemory(app, 2 * MIB)
    half = b"x" * (IN_MEMORY // 2)
    await memory(scope(), sending(half, half, half, half), ignore)
    assert counted == [0, len(half), 2 * len(half), 0, 0]
