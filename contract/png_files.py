"""The parts of which PNG files consist."""

from __future__ import annotations

import struct
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The name of each chunk, where its data begins, and the bytes that it says to have. Ends where the file does."""
    position = len(SIGNATURE)
    while position + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, position)
        yield name, position + 8, length
        position += 12 + length
