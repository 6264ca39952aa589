"""The bodies of all requests together take a bounded amount of memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from contract.asgi.body import read_body
from contract.asgi.body_memory import SMALL, BodyBudget, BodyMemory, hold
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
    budget = BodyBudget(3 * MIB)
    memory = BodyMemory(app, budget)
    first = asyncio.create_task(memory(scope(), sending(b"x" * MIB, b"x" * MIB), ignore))
    await app.read.wait()
    assert budget.held == 2 * MIB
    with pytest.raises(BodyMemoryFull, match=r"take 3 MiB .* most 3 MiB .* gateway\.max_bodies_mb") as refused:
        await memory(scope(), sending(b"x" * MIB, b"x"), ignore)
    assert refused.value.headers == {"retry-after": "5"}
    assert budget.held == 2 * MIB
    app.go_on.set()
    await first
    assert budget.held == 0
    await memory(scope(), sending(b"x" * 3 * MIB), ignore)


async def test_large_bodies_never_keep_small_ones_out() -> None:
    app = Reader()
    budget = BodyBudget(MIB)
    memory = BodyMemory(app, budget)
    first = asyncio.create_task(memory(scope(), sending(b"x" * MIB), ignore))
    await app.read.wait()
    app.go_on.set()
    await asyncio.gather(*(memory(scope(), sending(b"x" * SMALL), ignore) for _ in range(20)))
    await first


async def test_cancelled_request_frees_its_body() -> None:
    app = Reader()
    budget = BodyBudget(MIB)
    memory = BodyMemory(app, budget)
    request = asyncio.create_task(memory(scope(), sending(b"x" * MIB), ignore))
    await app.read.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert budget.held == 0


async def test_task_that_outlives_its_request_counts_nothing() -> None:
    tasks: list[asyncio.Task[None]] = []
    over = asyncio.Event()

    async def later() -> None:
        await over.wait()
        hold(MIB)

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        tasks.append(asyncio.create_task(later()))

    budget = BodyBudget(1)
    memory = BodyMemory(app, budget)
    await memory(scope(), sending(b""), ignore)
    over.set()
    await tasks[0]
    assert budget.held == 0


async def test_body_in_a_file_counts_while_it_is_in_memory() -> None:
    counted: list[int] = []

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        with SpooledBody() as body:
            await body.fill(scope, receive, 64 * MIB, lambda _: counted.append(budget.held))
            counted.append(budget.held)

    budget = BodyBudget(2 * MIB)
    memory = BodyMemory(app, budget)
    half = b"x" * (IN_MEMORY // 2)
    await memory(scope(), sending(half, half, half, half), ignore)
    assert counted == [0, len(half), 2 * len(half), 0, 0]


async def test_requests_with_a_smaller_limit_leave_room_for_others() -> None:
    app = Reader()
    budget = BodyBudget(4 * MIB)
    memory = BodyMemory(app, budget)
    with budget.request(2 * MIB):
        hold(2 * MIB)
        with pytest.raises(BodyMemoryFull, match="most 2 MiB"):
            hold(1)
    first = asyncio.create_task(memory(scope(), sending(b"x" * 2 * MIB), ignore))
    await app.read.wait()
    with budget.request(2 * MIB), pytest.raises(BodyMemoryFull):
        hold(MIB)
    app.go_on.set()
    await asyncio.gather(first, memory(scope(), sending(b"x" * 2 * MIB), ignore))
    assert budget.held == 0
