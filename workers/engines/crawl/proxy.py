"""The way of a crawl to the network: a SOCKS5 proxy that resolves a name once, and connects to allowed addresses only.

The browser sends everything through it, by name: pages, redirects, frames, scripts, fetch and WebSocket alike. So one
check holds for all of them, at the moment of the connection, whatever the browser believes about the name.
The protocol is that of RFC 1928, of which browsers use CONNECT without authentication.
"""

from __future__ import annotations

import asyncio
import ipaddress
from types import TracebackType

from contract.addresses import Allowed, NotPublic, reason, resolve

_VERSION, _NO_AUTHENTICATION, _CONNECT = 5, 0, 1
_SUCCEEDED, _FAILED, _NOT_ALLOWED, _HOST_UNREACHABLE, _BAD_COMMAND = 0, 1, 2, 4, 7
_IPV4, _NAME, _IPV6 = 1, 3, 4
_HANDSHAKE_TIMEOUT = 10
_CONNECT_TIMEOUT = 10
_CHUNK = 64 * 1024


class CrawlProxy:
    """The proxy of one crawl, for an `async with` block; its end closes all connections.

    `limit` is the number of bytes that it lets through. `refused` and `unreachable` are the hosts that it did not
    connect to; `exceeded` says whether the limit was reached.
    """

    def __init__(self, allowed: Allowed, limit: int) -> None:
        self._allowed = allowed
        self.limit = self._remaining = limit
        self._connections: set[asyncio.Task[None]] = set()
        self.refused: dict[str, None] = {}  # as an ordered set
        self.unreachable: dict[str, str] = {}
        self.exceeded = False

    @property
    def url(self) -> str:
        """The proxy, as the browser names it."""
        return f"socks5://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> CrawlProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HANDSHAKE_TIMEOUT):
                host, port = await _read_request(reader, writer)
            await self._connect(host, port, reader, writer)
        except (OSError, asyncio.IncompleteReadError, _NotSocks):
            pass  # the browser has closed the connection, or speaks another protocol
        finally:
            writer.close()

    async def _connect(self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._open(host, port)
        except NotPublic:
            self.refused[host] = None
            return _reply(writer, _NOT_ALLOWED)
        except (OSError, ValueError) as error:  # ValueError: a name with empty or long labels
            self.unreachable[host] = reason(error)
            return _reply(writer, _HOST_UNREACHABLE)
        _reply(writer, _SUCCEEDED)
        try:
            await self._relay(reader, writer, server_reader, server_writer)
        finally:
            server_writer.close()

    async def _open(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first address that answers, of those that were checked. Raises OSError and ValueError."""
        last_error: OSError = OSError("it has no address")
        for address in await resolve(host, port, self._allowed):
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT):
                    return await asyncio.open_connection(address["host"], port)
            except OSError as error:
                last_error = error
        raise last_error

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        upwards = asyncio.create_task(self._copy(reader, server_writer))
        try:
            await self._copy(server_reader, writer, counted=True)
        finally:
            upwards.cancel()
            await asyncio.wait({upwards})

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        while chunk := await reader.read(_CHUNK):
            if counted:
                self._remaining -= len(chunk)
                if self._remaining < 0:
                    self.exceeded = True
                    return
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _NotSocks(Exception):
    """What arrived is not a SOCKS5 request to connect."""


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """Agree on no authentication, and read the host and port to connect to. Raises _NotSocks."""
    version, count = await reader.readexactly(2)
    methods = await reader.readexactly(count)
    if version != _VERSION or _NO_AUTHENTICATION not in methods:
        raise _NotSocks
    writer.write(bytes([_VERSION, _NO_AUTHENTICATION]))
    version, command, _, kind = await reader.readexactly(4)
    if version != _VERSION or command != _CONNECT:
        _reply(writer, _BAD_COMMAND)  # BIND and UDP would pass by the check
        raise _NotSocks
    host = await _read_host(reader, kind)
    return host, int.from_bytes(await reader.readexactly(2))


async def _read_host(reader: asyncio.StreamReader, kind: int) -> str:
    if kind == _NAME:
        [length] = await reader.readexactly(1)
        return (await reader.readexactly(length)).decode("ascii", "replace").strip("[]")
    if kind in {_IPV4, _IPV6}:
        return str(ipaddress.ip_address(await reader.readexactly(4 if kind == _IPV4 else 16)))
    raise _NotSocks


def _reply(writer: asyncio.StreamWriter, code: int) -> None:
    """Send the outcome, with an empty bound address, which browsers ignore."""
    writer.write(bytes([_VERSION, code, 0, _IPV4, 0, 0, 0, 0, 0, 0]))
