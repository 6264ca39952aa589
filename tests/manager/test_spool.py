"""The spool of answers: order, limits of memory and disk, and disks that fail."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from manager.spool import FILE_SIZE, IN_MEMORY, Spool, SpoolSpace

PIECE = IN_MEMORY // 2 + 1
MANY = 2 * FILE_SIZE // PIECE


def pieces(count: int) -> list[bytes]:
    return [number.to_bytes(2) * (PIECE // 2) for number in range(count)]


async def taken(spool: Spool) -> bytes:
    """Everything in the spool."""
    result = bytearray()
    while chunk := await spool.take():
        assert len(chunk) <= IN_MEMORY + PIECE
        result += chunk
    return bytes(result)


async def test_bytes_come_out_in_order(tmp_path: Path) -> None:
    space = SpoolSpace(tmp_path, lambda: 10 * FILE_SIZE)
    spool = Spool(space, "request")
    sent = pieces(MANY)
    for piece in sent:
        await spool.put(piece)
    assert space.used > FILE_SIZE, "two files"
    assert os.listdir(tmp_path) == [], "the files have no names"
    assert await taken(spool) == b"".join(sent)
    assert space.used == 0
    await spool.put(b"more")
    assert await taken(spool) == b"more"


async def test_small_answers_stay_in_memory(tmp_path: Path) -> None:
    space = SpoolSpace(tmp_path, lambda: 0)
    spool = Spool(space, "request")
    await spool.put(b"x" * IN_MEMORY)
    assert space.used == 0
    assert len(await taken(spool)) == IN_MEMORY


@pytest.mark.parametrize("folder", ["", "absent"], ids=["limit", "disk"])
async def test_without_room_putting_waits_for_taking(tmp_path: Path, folder: str) -> None:
    space = SpoolSpace(tmp_path / folder, lambda: 10 * FILE_SIZE if folder else 3 * IN_MEMORY)
    spool = Spool(space, "request")
    sent = pieces(20)

    async def put() -> None:
        for piece in sent:
            await spool.put(piece)

    putting = asyncio.create_task(put())
    received = b""
    while not putting.done() or len(received) < len(b"".join(sent)):
        assert space.used <= 3 * IN_MEMORY
        received += await spool.take()
        await asyncio.sleep(0)
    assert received == b"".join(sent)


async def test_closed_spool_lets_another_one_continue(tmp_path: Path) -> None:
    space = SpoolSpace(tmp_path, lambda: 3 * IN_MEMORY)
    first, second = Spool(space, "first"), Spool(space, "second")
    for piece in pieces(3):
        await first.put(piece)
    putting = asyncio.create_task(second.put(b"x" * (2 * IN_MEMORY)))
    await asyncio.sleep(0)
    assert not putting.done()
    first.close()
    await putting
    second.close()
    assert space.used == 0


def open_files(folder: Path) -> list[str]:
    """Our open files in a folder, also those without names."""
    paths = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            paths.append(os.readlink(descriptor))
    return [path for path in paths if path.startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="shows open files without names")
async def test_cancelled_write_leaves_nothing_open(tmp_path: Path) -> None:
    space = SpoolSpace(tmp_path, lambda: 10 * FILE_SIZE)
    spool = Spool(space, "request")
    putting = asyncio.create_task(spool.put(b"x" * (8 * IN_MEMORY)))
    await asyncio.sleep(0)
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    spool.close()
    assert space.used == 0
    await asyncio.get_running_loop().shutdown_default_executor()  # returns when the thread that writes has ended
    await asyncio.sleep(0)
    assert open_files(tmp_path) == []
