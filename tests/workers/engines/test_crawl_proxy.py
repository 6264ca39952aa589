"""The proxy through which pages reach the network: what it connects to, and what it refuses."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from contract.addresses import AddressRule, is_public
from workers.engines.crawl.proxy import CrawlProxy

HERE = AddressRule(["127.0.0.1"])


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """A server that sends back what it gets; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def connect(
    proxy: CrawlProxy, host: str, port: int, command: int = 1
) -> tuple[int, asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask the proxy for a connection, as a browser does; returns its reply, and the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(proxy.url).port)
    writer.write(b"\x05\x01\x00")
    assert await reader.readexactly(2) == b"\x05\x00"
    writer.write(bytes([5, command, 0]) + _address(host) + port.to_bytes(2))
    reply = await reader.readexactly(10)
    return reply[1], reader, writer


def _address(host: str) -> bytes:
    try:
        packed = ipaddress.ip_address(host).packed
        return bytes([1 if len(packed) == 4 else 4]) + packed
    except ValueError:
        return bytes([3, len(host)]) + host.encode()


async def test_relays_both_directions() -> None:
    async with echo() as port, CrawlProxy(HERE, 2**20) as proxy:
        code, reader, writer = await connect(proxy, "127.0.0.1", port)
        assert code == 0
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()
    assert not proxy.refused


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.2",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "localhost",
        "2130706433",
        "127.1",
    ],
)
async def test_refuses_addresses_that_are_not_public(host: str) -> None:
    async with echo() as port, CrawlProxy(is_public, 2**20) as proxy:
        code, reader, writer = await connect(proxy, host, port)
        assert (code, await reader.read()) == (2, b"")
        assert len(proxy.refused) == 1
        writer.close()


async def test_connects_to_the_address_that_it_has_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A DNS server that changes its answer does not help, because every name is resolved only once."""
    resolved: list[str] = []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def changing(host: str, *args: object, **options: object) -> object:
        resolved.append(host)
        return await real("127.0.0.1" if len(resolved) == 1 else "127.0.0.2", *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "getaddrinfo", changing)
    async with echo() as port, CrawlProxy(HERE, 2**20) as proxy:
        code, _, first = await connect(proxy, "rebinding.example", port)
        assert (code, resolved) == (0, ["rebinding.example"])
        code, _, second = await connect(proxy, "rebinding.example", port)
        assert (code, resolved) == (2, ["rebinding.example"] * 2)
        first.close()
        second.close()


async def test_says_why_a_host_is_unreachable() -> None:
    async with CrawlProxy(HERE, 2**20) as proxy:
        code, _, writer = await connect(proxy, "missing.invalid", 80)
        assert code == 4
        assert "missing.invalid" in proxy.unreachable
        writer.close()
        async with echo() as port:
            pass  # now nothing listens there
        code, _, writer = await connect(proxy, "127.0.0.1", port)
        assert (code, proxy.unreachable["127.0.0.1"]) == (4, "Connection refused")
        writer.close()


async def test_ends_the_download_at_the_limit() -> None:
    async with echo() as port, CrawlProxy(HERE, 100_000) as proxy:
        _, reader, writer = await connect(proxy, "127.0.0.1", port)
        writer.write(b"x" * 1_000_000)
        received = bytearray()
        with suppress(ConnectionError):  # what it has not read counts as lost
            while chunk := await reader.read(65536):
                received += chunk
        assert len(received) <= 100_000
        assert proxy.exceeded
        writer.close()


@pytest.mark.parametrize("command", [2, 3])
async def test_refuses_udp_and_incoming_connections(command: int) -> None:
    async with CrawlProxy(HERE, 2**20) as proxy:
        code, reader, writer = await connect(proxy, "127.0.0.1", 80, command)
        assert (code, await reader.read()) == (7, b"")
        writer.close()


async def test_closes_connections_of_other_protocols() -> None:
    async with CrawlProxy(HERE, 2**20) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(proxy.url).port)
        writer.write(b"GET http://127.0.0.1/ HTTP/1.1\r\n\r\n" * 10)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()


async def test_its_end_closes_all_connections() -> None:
    async with echo() as port, CrawlProxy(HERE, 2**20) as proxy:
        _, reader, writer = await connect(proxy, "127.0.0.1", port)
        url = urlsplit(proxy.url)
        await proxy.__aexit__(None, None, None)
        assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", url.port)
        writer.close()
