"""Opens the pictures of a conversation."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageOps

from contract.errors import BadImage
from contract.media import ImageInput


def open_image(picture: ImageInput) -> Any:
    """An upright RGB picture. Raises BadImage when it is broken or too large."""
    picture.check()
    try:
        with Image.open(io.BytesIO(picture.read())) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImage(f"The image is damaged ({error}). Send the whole file again.") from error
