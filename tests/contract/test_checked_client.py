"""The HTTP client for URLs that others name connects to allowed addresses only, however they are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from contract.addresses import AddressRule, NotPublic, is_public
from contract.checked_client import client_session


class LocalServer:
    """A server on 127.0.0.1 that counts its connections."""

    def __init__(self) -> None:
        self.connections = 0

    async def answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@pytest.fixture
async def local() -> AsyncIterator[tuple[LocalServer, int]]:
    server = LocalServer()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    async with listening:
        yield server, listening.sockets[0].getsockname()[1]


SPELLINGS = [
    "127.0.0.1",
    "localhost",
    "0x7f000001",
    "[::ffff:127.0.0.1]",
    "\N{CIRCLED DIGIT ONE}\N{CIRCLED DIGIT TWO}\N{CIRCLED DIGIT SEVEN}.0.0.1",
    "127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1",
    "\N{FULLWIDTH DIGIT ONE}27.0.0.1",
]


@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_this_machine_is_connected_to(host: str, local: tuple[LocalServer, int]) -> None:
    server, port = local
    async with client_session(is_public) as client:
        with pytest.raises((aiohttp.ClientError, OSError)) as error:
            await client.get(f"http://{host}:{port}/")
    assert isinstance(error.value.__cause__, NotPublic)
    assert server.connections == 0


async def test_allowed_networks_are_connected_to(local: tuple[LocalServer, int]) -> None:
    server, port = local
    async with client_session(AddressRule(["127.0.0.0/8"])) as client:
        for host in ("127.0.0.1", SPELLINGS[4]):
            async with client.get(f"http://{host}:{port}/") as response:
                assert response.status == 200
    assert server.connections == 2
