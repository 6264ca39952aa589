"""Images of requests and responses: from files, arrays and Pillow's images to text, and back."""

from __future__ import annotations

import base64
import io
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

ImageSource: TypeAlias = str | PathLike[str] | bytes | Image.Image | Any
"""A path, an `http(s)` URL, a data URI, a file's bytes, a Pillow image, or an array in OpenCV's order of colours."""


def encode_image(image: ImageSource) -> str:
    """Base64 of an image for a request.

    `image` is a path, the bytes of a file, a Pillow image, or an array of (height, width, 3) in OpenCV's order blue,
    green, red, or (height, width).
    """
    if isinstance(image, bytes):
        content = image
    elif isinstance(image, str | PathLike):
        content = Path(image).read_bytes()
    else:
        content = _png(image if isinstance(image, Image.Image) else Image.fromarray(_rgb(np.asarray(image))))
    return base64.b64encode(content).decode("ascii")


def image_value(image: ImageSource) -> str:
    """An image as a request sends it: URLs and data URIs as they are, and everything else as base64."""
    if isinstance(image, str) and image.lower().startswith(("http://", "https://", "data:")):
        return image
    return encode_image(image)


def image_url(image: ImageSource) -> str:
    """An image as a chat message sends it: an `http(s)` URL, or a data URI."""
    value = image_value(image)
    if value.lower().startswith(("http://", "https://", "data:")):
        return value
    return f"data:{_media_type(base64.b64decode(value[:32]))};base64,{value}"


def decode_image(text: str) -> Image.Image:
    """The image in base64 of an image file, decoded."""
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    image.load()
    return image


def _media_type(start: bytes) -> str:
    """The media type of a file that starts with these bytes."""
    signatures = {b"\xff\xd8": "image/jpeg", b"GIF8": "image/gif", b"RIFF": "image/webp", b"BM": "image/bmp"}
    return next((media for signature, media in signatures.items() if start.startswith(signature)), "image/png")


def _rgb(pixels: Any) -> Any:
    """An array of uint8 with its channels in the order red, green, blue."""
    if pixels.dtype != np.uint8:
        raise ValueError(f"the array has the type {pixels.dtype}; convert it to uint8 first")
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., :3][..., ::-1])


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
