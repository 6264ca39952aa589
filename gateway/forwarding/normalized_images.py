"""Gives external servers the images that engines get: upright, on white, in sRGB with 8 bits a colour, as a PNG.

What every server reads alike stays as the client sent it.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence

from PIL import Image

from contract.image_files import open_header
from contract.image_loading import open_image, sizes_together
from contract.media import ImageInput, data_uri

logger = logging.getLogger(__name__)

_ORIENTATION = 0x0112
_PLAIN = {"JPEG": {"RGB", "L"}, "PNG": {"RGB", "L"}}
"""The formats and modes that need no change, if nothing is transparent or on its side and no colour has a profile."""


async def normalize(images: Sequence[ImageInput]) -> bool:
    """Replace the images that servers may read differently; whether there were any. Raises BadImage."""
    return await asyncio.to_thread(_normalize, images)


def _normalize(images: Sequence[ImageInput]) -> bool:
    sizes_together(images)
    odd = [image for image in images if not _is_plain(image.read())]
    for image in odd:
        content = io.BytesIO()
        open_image(image).save(content, "PNG")
        image.value = data_uri(content.getvalue())
        if image.warning:
            logger.warning("%s", image.warning)
    return bool(odd)


def _is_plain(content: bytes) -> bool:
    try:
        with open_header(content) as image:
            modes = _PLAIN.get(image.format or "", set())
            turned = image.getexif().get(_ORIENTATION, 1) != 1
            animated = getattr(image, "is_animated", False)
            special = turned or animated or "transparency" in image.info or "icc_profile" in image.info
            return image.mode in modes and not special
    except (OSError, Image.DecompressionBombError):
        return False  # opening it says what is wrong
