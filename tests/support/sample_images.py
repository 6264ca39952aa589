"""Small image files, and the header of a large one."""

from __future__ import annotations

import io
import os
import struct
import zlib

from PIL import Image


def png(width: int, height: int, *, noise: bool = False) -> bytes:
    """A PNG file; with noise, its size is about that of its pixels."""
    out = io.BytesIO()
    image = (
        Image.frombytes("RGB", (width, height), os.urandom(width * height * 3))
        if noise
        else Image.new("RGB", (width, height))
    )
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG file of this size, up to where its pixels would begin."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + struct.pack(">I", 100)
        + b"IDAT"
    )
