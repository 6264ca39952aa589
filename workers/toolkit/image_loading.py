"""Turns what a client sent as a picture into pixels as a person sees them: upright, RGB, first frame, on white."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from contract.errors import BadImage
from contract.media import ImageInput, check_size, too_many_pixels

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

_WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_ORIENTATION, _ON_ITS_SIDE = 0x0112, {5, 6, 7, 8}
"""The EXIF tag, and those of its values with which width and height change places."""
_TURNED_PNG = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""What a PNG file begins a chunk with that may say how it is turned."""


def open_image(picture: ImageInput) -> Image.Image:
    """The picture as PIL's RGB, turned the way its EXIF data says; transparency shows white.

    Raises BadImage when it is damaged, too large, of no known format, or an address that nobody has fetched.
    """
    return _opened(picture, _to_rgb)


def open_with_transparency(picture: ImageInput) -> tuple[Image.Image, Image.Image | None]:
    """The picture as `open_image` gives it, and its fully transparent part as a mask (255 in mode L), if it has one."""
    return _opened(picture, lambda image: (_to_rgb(image), _holes(image)))


def open_mask(picture: ImageInput) -> Image.Image:
    """A mask in mode L, upright like its picture: 255 where the picture is to be drawn anew, else 0.

    That is where it is fully transparent (OpenAI's convention) or, if nothing is transparent in it, where it is white.
    """
    return _opened(picture, lambda image: _holes(image) or _white(_to_rgb(image)))


def image_size(picture: ImageInput) -> tuple[int, int]:
    """Width and height of what `open_image` gives, from the file's header alone where its format allows that.

    Raises BadImage as that does, but for damage beyond the header.
    """
    return _guarded(picture, _upright_size)


def _opened(picture: ImageInput, look: Callable[[Image.Image], T]) -> T:
    return _guarded(picture, lambda content: look(_decode(content)))


def _guarded(picture: ImageInput, read: Callable[[bytes], T]) -> T:
    try:
        if picture.url:
            raise BadImage(f"The picture at {picture.url} has not been fetched. Send its bytes as a data URI instead.")
        return _readable(picture.read(), read)
    except BadImage as error:
        error.image = picture
        raise


def _readable(content: bytes, read: Callable[[bytes], T]) -> T:
    try:
        return read(content)
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # decoders of some thirty formats raise whatever they like on damaged files
        raise BadImage(
            f"The image is damaged or of no known format ({error}). Send it again as PNG or JPEG."
        ) from error


def _decode(content: bytes) -> Image.Image:
    from PIL import ImageOps

    with _header(content) as image:
        image.load()  # the first frame; here a truncated file shows
        return ImageOps.exif_transpose(image)


def _header(content: bytes) -> Image.Image:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(content))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_many_pixels("far too many") from None
    check_size(*image.size)
    return image


def _upright_size(content: bytes) -> tuple[int, int]:
    with _header(content) as image:
        width, height = image.size
        if image.format == "TIFF":  # its size is that of the upright picture already
            return width, height
        if image.format == "PNG" and not any(mark in content for mark in _TURNED_PNG):
            return width, height  # asked for its EXIF data it would be decoded: it may have them at its end
        turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
        return (height, width) if turned else (width, height)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _to_eight_bits(image).convert("RGB")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _holes(image: Image.Image) -> Image.Image | None:
    """255 where the picture is fully transparent, in mode L; None if it is so nowhere."""
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return None
    holes = image.convert("RGBA").getchannel("A").point(lambda value: 255 * (value == 0))
    return holes if holes.getbbox() else None


def _white(image: Image.Image) -> Image.Image:
    return image.convert("L").point(lambda value: 255 * (value >= 128))


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Deep greys scaled to 0..255; a plain conversion would cut everything above 255 off."""
    deep = image.mode.startswith("I;")
    if deep:
        image = image.convert("I")  # whatever the order of its bytes
    brightest = float(image.getextrema()[1])
    factor = 1 / 256 if deep or brightest > 255 else 1.0
    if image.mode == "F":
        factor = 255.0 if brightest <= 1 else 1.0  # floats are either 0..1 or already 0..255
    return image.point(lambda value: value * factor + 0).convert("L")
