"""Images of noise, which cannot be compressed, so that a body has a known size."""

from __future__ import annotations

import base64
import random
import struct
import zlib


def png(width: int, height: int) -> bytes:
    """A PNG file of noise, 3 bytes per pixel."""
    row = 1 + 3 * width
    pixels = bytearray(random.Random(0).randbytes(row * height))
    pixels[::row] = bytes(height)  # the first byte of each row is its filter: none
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = _part(b"IHDR", header), _part(b"IDAT", zlib.compress(pixels, 0)), _part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def data_uri(width: int, height: int) -> str:
    """A PNG file of noise as a data URI, which is a third larger."""
    return "data:image/png;base64," + base64.b64encode(png(width, height)).decode()


def _part(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
