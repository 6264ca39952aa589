"""Background tasks: failures are logged, and the owner can wait for all of them or cancel them."""

from __future__ import annotations

import asyncio

import pytest

from manager.background import BackgroundTasks


async def test_a_failure_is_logged_with_its_owner(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise OSError(24, "Too many open files")

    tasks = BackgroundTasks("scheduler")
    tasks.spawn(fail())
    await tasks.wait()
    assert "a background task of the scheduler failed" in caplog.text
    assert "Too many open files" in caplog.text


async def test_wait_includes_tasks_that_start_meanwhile() -> None:
    ended: list[str] = []

    async def second() -> None:
        await asyncio.sleep(0)
        ended.append("second")

    async def first() -> None:
        tasks.spawn(second())
        ended.append("first")

    tasks = BackgroundTasks("test")
    tasks.spawn(first())
    await tasks.wait()
    assert ended == ["first", "second"]


async def test_cancel_returns_once_all_tasks_have_ended(caplog: pytest.LogCaptureFixture) -> None:
    cleaned_up: list[int] = []

    async def run_until_cancelled(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned_up.append(number)

    tasks = BackgroundTasks("test")
    for number in range(3):
        tasks.spawn(run_until_cancelled(number))
    await asyncio.sleep(0)
    await tasks.cancel()
    assert sorted(cleaned_up) == [0, 1, 2]
    assert not caplog.records, "a cancelled task has not failed"


async def test_on_done_is_called_after_every_task() -> None:
    calls: list[None] = []

    async def work() -> None: ...

    tasks = BackgroundTasks("test", on_done=lambda: calls.append(None))
    for _ in range(3):
        tasks.spawn(work())
    await tasks.wait()
    await asyncio.sleep(0)
    assert len(calls) == 3
