"""Opens WebSockets to the next program, and passes bytes between them and a client's.

The client and the server agree on everything else (subprotocols, compression, the size of messages, pings): their
frames pass as they are. A side that does not read holds up the other, and nothing is kept for it but what is in the
buffers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import h11
from starlette.types import Receive, Scope, Send
from yarl import URL

from contract.asgi.body import ClientDisconnected
from contract.asgi.relay import RawHeaders, UpstreamError, returned_headers
from contract.errors import WorkerDied

_CHUNK = 64 * 1024
_FLUSH_SECONDS = 5.0
"""How long a server may take to read the client's last bytes once the client is gone."""


class Tunnel:
    """The next program's answer to a handshake: with status 101 an open connection, with any other a response."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = 0
        self.headers: RawHeaders = []
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    async def shake_hands(self, url: URL, headers: list[tuple[str, str]]) -> None:
        """Send the handshake and wait for the answer's head."""
        sent = [("host", url.authority), ("connection", "Upgrade"), ("upgrade", "websocket"), *headers]
        request = h11.Request(method="GET", target=url.raw_path_qs, headers=[(k.encode(), v.encode()) for k, v in sent])
        head, end = self._http.send(request), self._http.send(h11.EndOfMessage())
        await self.write((head or b"") + (end or b""))
        event = await self._next_event()
        while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            event = await self._next_event()
        if not isinstance(event, h11.InformationalResponse | h11.Response):
            raise UpstreamError("the connection was closed", began=False)
        self.status = event.status_code
        self.headers = returned_headers(event.headers.raw_items())

    async def chunks(self) -> AsyncIterator[bytes]:
        """What the next program sends, as it arrives. Raises UpstreamError if the connection breaks."""
        try:
            if self.status != 101:
                while isinstance(event := await self._next_event(), h11.Data):
                    yield bytes(event.data)
                return
            if rest := self._http.trailing_data[0]:
                yield rest
            while chunk := await self._reader.read(_CHUNK):
                yield chunk
        except (OSError, h11.RemoteProtocolError) as error:
            raise UpstreamError(f"{type(error).__name__}: {error}", began=True) from error

    async def write(self, data: bytes) -> None:
        """Send bytes; returns once there is room for more."""
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        """Close the connection at once."""
        self._writer.transport.abort()

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_CHUNK))
        return event


@asynccontextmanager
async def open_tunnel(url: URL, headers: list[tuple[str, str]]) -> AsyncIterator[Tunnel]:
    """Send a handshake, and yield its answer. Raises UpstreamError(began=False) if there is none."""
    try:
        reader, writer = await asyncio.open_connection(url.host, url.port, limit=_CHUNK)
    except OSError as error:
        raise UpstreamError(f"{type(error).__name__}: {error}", began=False) from error
    tunnel = Tunnel(reader, writer)
    try:
        try:
            await tunnel.shake_hands(url, headers)
        except (OSError, h11.ProtocolError) as error:
            raise UpstreamError(f"{type(error).__name__}: {error}", began=False) from error
        yield tunnel
    finally:
        writer.close()  # after it has sent what is left
        asyncio.get_running_loop().call_later(_FLUSH_SECONDS, writer.transport.abort)


async def received(receive: Receive) -> AsyncIterator[bytes]:
    """What the client sends, as it arrives. Raises ClientDisconnected at the end."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        if body := message.get("body", b""):
            yield body


async def relay_answer(
    tunnel: Tunnel, headers: RawHeaders, incoming: AsyncIterator[bytes], scope: Scope, send: Send
) -> None:
    """Send the answer to a handshake with `headers`, and then pass on what either side sends.

    Returns once the server has closed the WebSocket. Raises ClientDisconnected, or UpstreamError and WorkerDied if the
    connection ends without a Close frame of the server.
    """
    scope["endless"] = tunnel.status == 101  # a program that stops does not wait for it
    await send({"type": "http.response.start", "status": tunnel.status, "headers": headers})
    down = asyncio.create_task(_pass_down(tunnel, send))
    up = asyncio.create_task(_pass_up(tunnel, incoming)) if tunnel.status == 101 else None
    try:
        await asyncio.wait({down, up} if up else {down}, return_when=asyncio.FIRST_COMPLETED)
        if up and up.done() and not down.done():
            up.result()  # raises ClientDisconnected; else the server reads no more, but may have sent more
        await down
    finally:
        tasks = [down, up] if up else [down]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if tunnel.status == 101 and not scope["frames"].closed:
        raise WorkerDied("The server has ended the connection without closing the WebSocket. Connect again.")
    await send({"type": "http.response.body", "body": b""})


async def _pass_down(tunnel: Tunnel, send: Send) -> None:
    async for chunk in tunnel.chunks():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _pass_up(tunnel: Tunnel, incoming: AsyncIterator[bytes]) -> None:
    with suppress(OSError):
        async for chunk in incoming:
            await tunnel.write(chunk)
