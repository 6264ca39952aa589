"""A pipe's end is closed once: after that, its number may be that of another thread's file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Literal

import pytest
import uvloop

from manager.processes.launchers.pipe_end import pipe_end

LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("mode", ["rb", "wb"])
@pytest.mark.parametrize("new_loop", LOOPS)
def test_transport_closes_the_descriptor(
    mode: Literal["rb", "wb"], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def close() -> None:
        loop, ends = asyncio.get_running_loop(), os.pipe()
        mine, other = ends if mode == "rb" else ends[::-1]
        connect = loop.connect_read_pipe if mode == "rb" else loop.connect_write_pipe
        transport, _ = await connect(asyncio.Protocol, pipe_end(mine, mode))
        transport.close()
        while is_open(mine):  # noqa: ASYNC110 - nothing tells when the loop has closed it
            await asyncio.sleep(0)
        os.close(other)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(close())


async def _closed_by_its_file() -> bool:
    read_end, write_end = os.pipe()
    pipe_end(read_end, "rb").close()
    try:
        return not is_open(read_end)
    finally:
        for descriptor in filter(is_open, (read_end, write_end)):
            os.close(descriptor)


def test_file_closes_it_only_where_the_transport_relies_on_that() -> None:
    closed = []
    for new_loop in LOOPS:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            closed.append(runner.run(_closed_by_its_file()))
    assert closed == [False, True]
