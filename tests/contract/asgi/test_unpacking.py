"""Compressed bodies of requests: read as what they hold, within the limit, or refused as what they are."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from contract.asgi.body import read_body
from contract.errors import BadRequest, TooLarge, UnsupportedMedia

LIMIT = 2**20
TEXT = b'{"prompt": "a cat"}'


async def read(encoding: str, body: bytes, chunk: int = 65536) -> tuple[bytes, list[Any]]:
    """What is read of a body that arrives in chunks, and the headers that its request then has."""
    pieces = [body[start : start + chunk] for start in range(0, len(body), chunk)] or [b""]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False
    scope: Any = {"type": "http", "headers": [(b"host", b"a"), (b"content-encoding", encoding.encode())]}

    async def receive() -> Any:
        return messages.pop(0)

    return await read_body(scope, receive, LIMIT), scope["headers"]


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("gzip", lambda text: gzip.compress(text[:5]) + gzip.compress(text[5:])),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 65536])
async def test_a_compressed_body_is_unpacked(encoding: str, pack: Callable[[bytes], bytes], chunk: int) -> None:
    assert await read(encoding, pack(TEXT), chunk) == (TEXT, [(b"host", b"a")])


@pytest.mark.parametrize("size", [0, 2**18 - 1, 2**18, 2**18 + 1, 2**19, LIMIT - 1000])
@pytest.mark.parametrize("kind", ["zeros", "noise"])
async def test_a_body_of_any_size_is_unpacked_whole(size: int, kind: str) -> None:
    content = bytes(size) if kind == "zeros" else random.Random(size).randbytes(size)
    assert (await read("gzip", gzip.compress(content, 1)))[0] == content


async def test_the_limit_counts_unpacked_and_packed_bytes() -> None:
    head, empty_block = gzip.compress(b"")[:10], b"\0\0\0\xff\xff"
    for body in (gzip.compress(bytes(50 * LIMIT)), head + empty_block * LIMIT):
        with pytest.raises(TooLarge):
            await read("gzip", body)


@pytest.mark.parametrize(
    "body",
    [TEXT, gzip.compress(TEXT)[:-1], gzip.compress(TEXT) + b"more", gzip.compress(b"") * 100, b""],
    ids=["plain", "cut", "more", "many", "empty"],  # the bytes hold the time: each process would name them differently
)
async def test_a_body_that_cannot_be_unpacked_says_so(body: bytes) -> None:
    with pytest.raises(BadRequest, match="no valid gzip, as its Content-Encoding says"):
        await read("gzip", body)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "base64"])
async def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia, match=f"Content-Encoding '{encoding}'.*gzip"):
        await read(encoding, TEXT)


async def test_identity_is_no_encoding() -> None:
    assert (await read("identity", TEXT))[0] == TEXT
