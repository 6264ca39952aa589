"""Sends a request to the next program and streams its response back, byte for byte.

The gateway uses it towards the manager, the manager towards a worker. Nothing is parsed on the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import lru_cache

import aiohttp
from starlette.types import Scope, Send
from yarl import URL

HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"trailers", b"transfer-encoding", b"upgrade", b"host", b"content-length", b"expect"}
)  # fmt: skip
"""Headers that concern a single connection, or that the HTTP client sets itself."""
_NOT_RETURNED = HOP_BY_HOP - {b"content-length"}

RawHeaders = list[tuple[bytes, bytes]]


class UpstreamError(Exception):
    """The other program could not be reached, or closed the connection. `began`: whether its response had begun."""

    def __init__(self, message: str, *, began: bool) -> None:
        super().__init__(message)
        self.began = began


def client_session() -> aiohttp.ClientSession:
    """An HTTP client without limits of its own: the manager decides how many requests run at once."""
    # Most external servers run under uvicorn, which closes idle connections after 5 s. Ours must close first: a
    # connection that is closed just as a request starts on it looks like a dead server.
    keepalive = 4
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=keepalive, use_dns_cache=True, ttl_dns_cache=30),
        # No time limit for connecting either: when a thousand requests arrive at once, the event loop itself is late.
        # Programs that do not respond are noticed by `ManagerPulse` in the gateway and `Silence` in the manager.
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Add no headers that the client did not send; above all, do not claim that it reads compressed responses.
        skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
        trust_env=False,
    )


def response_headers(response: aiohttp.ClientResponse) -> RawHeaders:
    """The upstream's headers without hop-by-hop ones; `content-length` stays, since the bytes are never changed."""
    return returned_headers(response.raw_headers)


def returned_headers(raw_headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """A response's headers as the client gets them, like `response_headers`."""
    raw = [(key.lower(), value) for key, value in raw_headers]
    return [header for header in end_to_end(raw) if header[0] not in _NOT_RETURNED]


def end_to_end(headers: RawHeaders) -> RawHeaders:
    """The headers without those that `Connection` names: they concern this connection only (RFC 9110, 7.6.1)."""
    listed = {name.strip().lower() for key, value in headers if key == b"connection" for name in value.split(b",")}
    listed -= {b"keep-alive", b"close", b"upgrade", b""}
    return [header for header in headers if header[0] not in listed] if listed else headers


@asynccontextmanager
async def open_upstream(
    client: aiohttp.ClientSession,
    method: str,
    url: URL,
    headers: list[tuple[str, str]],
    body: bytes | bytearray | AsyncIterator[bytes] | None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send a request; yield the response once its head has arrived. Raises UpstreamError(began=False) before that."""
    try:
        context = client.request(method, url, headers=headers, data=body, allow_redirects=False)
        response = await context.__aenter__()
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamError(f"{type(error).__name__}: {error}", began=False) from error
    complete = False
    try:
        yield response
        complete = response.content.at_eof()
    finally:
        # A half-read response must not return to the pool; closing its connection tells the other side to stop working.
        if complete:
            response.release()
        else:
            response.close()


async def iter_chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The response's bytes as soon as they arrive. Raises UpstreamError(began=True) if the connection breaks."""
    try:
        while chunk := await response.content.readany():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamError(f"{type(error).__name__}: {error}", began=True) from error


def upstream_url(base: str, scope: Scope) -> URL:
    """The request's path and query at another program's base URL."""
    query = scope["query_string"].decode("latin-1")
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    return _url(base + path + (f"?{query}" if query else ""))


@lru_cache(256)
def _url(text: str) -> URL:
    return URL(text, encoded=True)  # parsing costs more than a cache lookup


async def send_head(send: Send, status: int, headers: RawHeaders) -> None:
    """Send a response's status and headers."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def send_body(send: Send, response: aiohttp.ClientResponse, first: bytes, rest: AsyncIterator[bytes]) -> None:
    """Send a response's body: the chunk `first`, already received, and `rest`. A one-chunk body is one message."""
    if response.content.at_eof():
        await send({"type": "http.response.body", "body": first})
        return
    await send({"type": "http.response.body", "body": first, "more_body": True})
    await send_chunks(send, rest)


async def send_chunks(send: Send, stream: AsyncIterator[bytes]) -> None:
    """Send every chunk as it arrives, then the end. An error prevents the end, so the server aborts the connection."""
    async for chunk in stream:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
