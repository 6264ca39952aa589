"""Turns an image as a client sent it into pixels as they are displayed: upright, RGB, first frame, on white."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from contract.colour_profiles import IGNORED
from contract.displayed import check_pixels, to_rgb, transparent_part
from contract.errors import BadImage
from contract.image_files import open_header, unreadable
from contract.jpeg_ends import with_end
from contract.media import MAX_PIXELS, ImageInput, check_size, too_many_pixels

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

MAX_PIXELS_TOGETHER = 4 * MAX_PIXELS
"""The most pixels of images that one request needs at the same time."""
MAX_IMAGES_TOGETHER = 256
"""The most images that one request needs at the same time: some models enlarge each to many tiles."""

_ORIENTATION, _SIDEWAYS = 0x0112, {5, 6, 7, 8}
"""The EXIF tag, and its values that swap width and height."""
_PNG_WITH_EXIF = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""What marks the chunks of a PNG file that may contain an orientation."""


def open_image(source: ImageInput) -> Image.Image:
    """The image in Pillow's RGB mode and sRGB, rotated as its EXIF data says; transparency becomes white.

    A colour profile that cannot be applied is ignored, and `source.warning` says so.
    Raises BadImage if it is damaged, too large, of an unknown format, or a URL that has not been fetched.
    """
    return _opened(source, to_rgb)


def open_with_transparency(source: ImageInput) -> tuple[Image.Image, Image.Image | None]:
    """The image like `open_image`, and its fully transparent part as a mask (255 in mode L), or None."""
    return _opened(source, lambda image: (to_rgb(image), transparent_part(image)))


def open_mask(source: ImageInput) -> Image.Image:
    """A mask in mode L, upright like its image: 255 where the image is to be redrawn, else 0.

    That is where the mask is fully transparent (OpenAI's convention) or, if nothing in it is transparent, where it is
    white.
    """
    return _opened(source, lambda image: transparent_part(image) or _white(to_rgb(image)))


def image_size(source: ImageInput) -> tuple[int, int]:
    """Width and height of what `open_image` returns, from the file's header alone if its format allows that.

    Raises BadImage like `open_image`, but does not notice damage after the header.
    """
    return _read(source, _upright_size)


def sizes_together(sources: Iterable[ImageInput]) -> list[tuple[int, int]]:
    """The `image_size` of images that are needed at the same time. Raises BadImage for too many images or pixels.

    Opened, they take three bytes for each pixel: a small body could otherwise open hundreds of large images.
    """
    sizes: list[tuple[int, int]] = []
    total = 0
    for source in sources:
        width, height = image_size(source)
        sizes.append((width, height))
        total += width * height
        if total > MAX_PIXELS_TOGETHER or len(sizes) > MAX_IMAGES_TOGETHER:
            million = MAX_PIXELS_TOGETHER // 10**6
            error = BadImage(
                f"The request has more than {MAX_IMAGES_TOGETHER} images, or they have more than {million} million "
                "pixels in all. Scale them down, or send fewer."
            )
            error.image = source
            raise error
    return sizes


def _opened(source: ImageInput, convert: Callable[[Image.Image], T]) -> T:
    def parse(content: bytes) -> T:
        image = _decode(content)
        shown = convert(image)
        source.warning = image.info.get(IGNORED, "")
        return shown

    return _read(source, parse)


def _read(source: ImageInput, parse: Callable[[bytes], T]) -> T:
    try:
        if source.url:
            raise BadImage(f"The image at {source.url} has not been fetched. Send its bytes as a data URI instead.")
        return _parsed(source.read(), parse)
    except BadImage as error:
        error.image = source
        raise


def _parsed(content: bytes, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(content)
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # decoders of some thirty formats raise all kinds of errors for damaged files
        raise BadImage(f"The image is damaged ({error}). Send it again, as PNG or JPEG.") from error


def _decode(content: bytes) -> Image.Image:
    try:
        return _decode_whole(content)
    except OSError:
        if not (whole := with_end(content)):
            raise
        return _decode_whole(whole)


def _decode_whole(content: bytes) -> Image.Image:
    from PIL import ImageOps

    with _header(content) as image:
        image.load()  # decodes the first frame, and raises for truncated files
        check_pixels(image)
        return ImageOps.exif_transpose(image)


def _header(content: bytes) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = open_header(content)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise too_many_pixels("far too many") from None
    except UnidentifiedImageError as error:
        raise unreadable(content) from error
    check_size(*image.size)
    return image


def _upright_size(content: bytes) -> tuple[int, int]:
    with _header(content) as image:
        width, height = image.size
        if image.format == "TIFF":  # Pillow reports the upright size already
            return width, height
        if image.format == "PNG" and not any(mark in content for mark in _PNG_WITH_EXIF):
            return width, height  # `getexif` would decode the whole file, since EXIF data may be at its end
        sideways = image.getexif().get(_ORIENTATION) in _SIDEWAYS
        return (height, width) if sideways else (width, height)


def _white(image: Image.Image) -> Image.Image:
    return image.convert("L").point(lambda value: 255 * (value >= 128))
