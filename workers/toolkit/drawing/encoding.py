"""Writes drawn images as files: PNG, JPEG or WebP."""

from __future__ import annotations

import base64
import io
from typing import Any

from contract.errors import InvalidField

_PNG_LEVEL = 1
"""zlib's compression level: slightly larger files than at its default 6, written several times faster."""
_PILLOW_FORMATS = {None: "PNG", "png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


def file_format(output_format: str | None) -> str:
    """Pillow's name for a request's `output_format`; PNG by default. Raises InvalidField."""
    pillow_format = _PILLOW_FORMATS.get(output_format)
    if pillow_format is None:
        raise InvalidField(
            f"`output_format` {output_format} is not supported: use png, jpeg or webp.", param="output_format"
        )
    return pillow_format


def encode_image(image: Any, pillow_format: str, quality: int | None) -> str:
    """A Pillow image as base64 of a file. `quality`, from 0 to 100, applies to JPEG and WebP (default: 100)."""
    buffer = io.BytesIO()
    if pillow_format == "PNG":
        image.save(buffer, pillow_format, compress_level=_PNG_LEVEL)
    else:
        image.save(buffer, pillow_format, quality=100 if quality is None else quality)
    return base64.b64encode(buffer.getbuffer()).decode("ascii")
