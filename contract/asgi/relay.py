"""Passes a request on to another program of the house and streams its answer back, byte for byte.

Used by the gateway towards the manager and by the manager towards a worker. Nothing is parsed on the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

import aiohttp
from starlette.types import Scope, Send
from yarl import URL

HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer", b"trailers",
     b"transfer-encoding", b"upgrade", b"host", b"content-length", b"expect", b"accept-encoding"}
)  # fmt: skip
"""Headers that belong to one connection, or that the client library sets anew."""
_ANSWER_DROPPED = HOP_BY_HOP - {b"content-length"}

RawHeaders = list[tuple[bytes, bytes]]


class UpstreamError(Exception):
    """The other program could not be reached, or went away. `began`: had its answer begun?"""

    def __init__(self, message: str, *, began: bool) -> None:
        super().__init__(message)
        self.began = began


def client_session() -> aiohttp.ClientSession:
    """A client without limits of its own: how many may run at once is the manager's decision."""
    # Less than the 5 s after which uvicorn, under which most foreign servers run, closes a connection that rests: one
    # that is closed in the moment of a request looks like a death.
    rest = 4
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=rest, use_dns_cache=True, ttl_dns_cache=30),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # What the client did not say, we do not say for it; least of all that it could read compressed answers.
        skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
        trust_env=False,
    )


def response_headers(response: aiohttp.ClientResponse) -> RawHeaders:
    """The upstream's headers as they go back; its length stays, since bytes are never changed."""
    raw = [(key.lower(), value) for key, value in response.raw_headers]
    return [header for header in raw if header[0] not in _ANSWER_DROPPED]


@asynccontextmanager
async def open_upstream(
    client: aiohttp.ClientSession,
    method: str,
    url: URL,
    headers: list[tuple[str, str]],
    body: bytes | bytearray | AsyncIterator[bytes] | None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send a request and yield the response once its head is in. Raises UpstreamError(began=False) before that."""
    try:
        context = client.request(method, url, headers=headers, data=body, allow_redirects=False)
        response = await context.__aenter__()
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamError(f"{type(error).__name__}: {error}", began=False) from error
    whole = False
    try:
        yield response
        whole = response.content.at_eof()
    finally:
        # A half-read answer must not go back to the pool: closing it tells the other side to stop working.
        if whole:
            response.release()
        else:
            response.close()


async def iter_chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The answer's bytes as they come in, never held back. Raises UpstreamError(began=True) if it breaks off."""
    try:
        while chunk := await response.content.readany():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamError(f"{type(error).__name__}: {error}", began=True) from error


def upstream_url(base: str, scope: Scope) -> URL:
    """The same path and query at another program."""
    query = scope["query_string"].decode("latin-1")
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    return _url(base + path + (f"?{query}" if query else ""))


@lru_cache(256)
def _url(text: str) -> URL:
    return URL(text, encoded=True)  # to parse it costs more than to look it up


async def send_head(send: Send, status: int, headers: RawHeaders) -> None:
    """Send the head of an answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def send_body(send: Send, response: aiohttp.ClientResponse, first: bytes, rest: AsyncIterator[bytes]) -> None:
    """Send an answer's body, of which `first` has come: as one piece if that is all of it."""
    if response.content.at_eof():
        await send({"type": "http.response.body", "body": first})
        return
    await send({"type": "http.response.body", "body": first, "more_body": True})
    await send_chunks(send, rest)


async def send_chunks(send: Send, stream: AsyncIterator[bytes]) -> None:
    """Send every chunk at once, then the end. An error in between leaves the answer open, so that it is aborted."""
    async for chunk in stream:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
