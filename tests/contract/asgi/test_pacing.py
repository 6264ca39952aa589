"""Requests begin a few at a time, in order, and at once while there are few."""

from __future__ import annotations

import asyncio

from contract.asgi.pacing import AT_ONCE, Pacing


async def begin(pacing: Pacing, name: int, begun: list[int]) -> None:
    await pacing.begin()
    begun.append(name)


async def test_few_requests_begin_at_once() -> None:
    pacing = Pacing()
    for _ in range(3):
        for _ in range(AT_ONCE):
            beginning = pacing.begin()
            try:
                beginning.send(None)
            except StopIteration:
                continue
            raise AssertionError("it waits")
        await asyncio.sleep(0)


async def test_many_begin_in_order_a_few_in_each_turn() -> None:
    pacing, begun, turns = Pacing(), list[int](), list[int]()
    tasks = [asyncio.create_task(begin(pacing, name, begun)) for name in range(100)]
    while len(begun) < 100:
        before = len(begun)
        await asyncio.sleep(0)
        turns.append(len(begun) - before)
    assert begun == list(range(100))
    assert max(turns) == AT_ONCE
    await asyncio.gather(*tasks)


async def test_given_up_requests_take_no_place() -> None:
    pacing, begun = Pacing(), list[int]()
    tasks = [asyncio.create_task(begin(pacing, name, begun)) for name in range(50)]
    await asyncio.sleep(0)
    for task in tasks[AT_ONCE:40]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert begun == [*range(AT_ONCE), *range(40, 50)]
    await begin(pacing, 50, begun)
    assert begun[-1] == 50
