"""Bodies of requests that wait: whole and in order whenever the wait ends, and within the spool's limit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.types import Message

from contract.asgi.body import ClientDisconnected
from manager.request_body import RequestBody
from manager.spool import IN_MEMORY, SpoolSpace
from tests.support.spawning import eventually

CHUNKS = [number.to_bytes(2) * (IN_MEMORY // 8) for number in range(40)]
WHOLE = b"".join(CHUNKS)


class Client:
    """Sends `CHUNKS` one after another, and then nothing, or a disconnect."""

    def __init__(self, *, disconnects: bool = False) -> None:
        self.sent = 0
        self.begins, self.is_done = asyncio.Event(), asyncio.Event()
        self._disconnects = disconnects

    async def receive(self) -> Message:
        if self.sent == len(CHUNKS):
            self.is_done.set()
            await asyncio.sleep(0 if self._disconnects else 3600)
            return {"type": "http.disconnect"}
        self.sent += 1
        self.begins.set()
        return {"type": "http.request", "body": CHUNKS[self.sent - 1], "more_body": self.sent < len(CHUNKS)}


async def streamed(body: RequestBody) -> bytes:
    first, whole = await body.first_chunk()
    assert not whole
    return b"".join([chunk async for chunk in body.stream(first)])


async def test_body_is_whole_whenever_the_wait_ends(tmp_path: Path) -> None:
    for turns in range(0, 60, 3):
        client, space = Client(), SpoolSpace(tmp_path, lambda: 2 * len(WHOLE))
        body = RequestBody(client.receive, space, "request")
        async with body.spooling():
            await client.begins.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
        assert await streamed(body) == WHOLE, f"the wait ended after {turns} turns of the event loop"
        body.close()
        assert space.used == 0


async def test_body_that_was_read_meanwhile_is_on_disk(tmp_path: Path) -> None:
    client, space = Client(), SpoolSpace(tmp_path, lambda: 2 * len(WHOLE))
    body = RequestBody(client.receive, space, "request")
    async with body.spooling():
        await client.is_done.wait()
        assert space.used > len(WHOLE) - 2 * IN_MEMORY
    assert await streamed(body) == WHOLE
    assert space.used == 0


@pytest.mark.parametrize("folder", ["", "absent"], ids=["limit", "disk"])
async def test_without_room_the_rest_is_read_later(
    tmp_path: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    client, space = Client(), SpoolSpace(tmp_path / folder, lambda: len(WHOLE) if folder else 2 * IN_MEMORY)
    body = RequestBody(client.receive, space, "r1")
    async with body.spooling():
        await eventually("it says so", lambda: "request r1 is read further once its worker is" in caplog.text)
        assert client.sent < len(CHUNKS) / 2
        assert space.used <= 2 * IN_MEMORY
    assert await streamed(body) == WHOLE
    body.close()
    assert space.used == 0


async def test_disconnect_ends_the_wait_and_frees_the_space(tmp_path: Path) -> None:
    space = SpoolSpace(tmp_path, lambda: 2 * len(WHOLE))
    body = RequestBody(Client(disconnects=True).receive, space, "request")
    with pytest.raises(ClientDisconnected):
        async with body.spooling():
            await asyncio.sleep(3600)
    body.close()
    assert space.used == 0
