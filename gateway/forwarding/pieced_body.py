"""A request's body in memory, in pieces that are sent one after another: joining them would take time and memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

SMALL = 256 * 1024
"""Bytes of the largest body that is joined."""
_CHUNK = 64 * 1024


class PiecedBody:
    """The pieces of a body, which must not change."""

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._length = sum(map(len, pieces))

    def __len__(self) -> int:
        return self._length

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body to send, from its beginning; also a second time."""
        for piece in self._pieces:
            for start in range(0, len(piece), _CHUNK):
                yield bytes(piece[start : start + _CHUNK])


def body_of(pieces: Sequence[bytes | memoryview]) -> bytes | PiecedBody:
    """The body that consists of the pieces, joined if it is small."""
    body = PiecedBody(pieces)
    return body if len(body) > SMALL else b"".join(pieces)
