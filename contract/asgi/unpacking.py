"""Unpacks bodies that clients send compressed, piece by piece, so that a small one cannot grow without a bound."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

from starlette.types import Scope

from contract.asgi.middleware import header
from contract.errors import BadRequest, UnsupportedMedia

_PIECE = 2**18
"""Bytes that are unpacked at a time; other requests run in between."""
_MAX_FILES = 64
"""What follows a file is copied, so that thousands of them would take long."""
_NAMES = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_HEADER = b"content-encoding"


class Unpacker:
    """Unpacks the chunks of one body."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._files = 1

    async def unpacked(self, chunk: bytes) -> AsyncIterator[bytes]:
        """What the next chunk holds, in pieces. Raises BadRequest."""
        piece = b""
        while chunk or len(piece) == _PIECE:  # then some of what was read may not be written yet
            if self._stream.eof:  # a file of gzip may consist of several
                self._begin_another()
            try:
                piece = self._stream.decompress(chunk, _PIECE)
            except zlib.error as error:
                raise self._damaged(str(error)) from None
            yield piece
            chunk = self._stream.unconsumed_tail or self._stream.unused_data
            piece = b"" if self._stream.eof else piece
            await asyncio.sleep(0)

    def _begin_another(self) -> None:
        self._files += 1
        if self._files > _MAX_FILES:
            raise self._damaged(f"it consists of more than {_MAX_FILES}")
        self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)

    def finish(self) -> None:
        """Raise BadRequest if the body has ended too early."""
        if not self._stream.eof:
            raise self._damaged("it ends too early")

    def _damaged(self, reason: str) -> BadRequest:
        return BadRequest(
            f"The body cannot be unpacked: it is no valid {self._encoding}, as its Content-Encoding says ({reason})."
        )


def unpacker_for(scope: Scope) -> Unpacker | None:
    """What unpacks a request's body; None for one that is sent as it is.

    The request then no longer has a `Content-Encoding`. Raises UnsupportedMedia.
    """
    encoding = (header(scope, _HEADER) or "").strip().lower()
    if encoding in {"", "identity"}:
        return None
    if encoding not in _NAMES:
        raise UnsupportedMedia(
            f"The body has the Content-Encoding {encoding[:64]!r}. Send it as it is, or with gzip or deflate."
        )
    scope["headers"] = [(name, value) for name, value in scope["headers"] if name != _HEADER]
    return Unpacker(encoding)
