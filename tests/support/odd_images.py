"""Images in unusual files: not RGB, not upright, animated. They all show the same drawing.

An engine must answer for each as it does for a plain RGB file of the same pixels:

    @pytest.mark.parametrize("odd", ODD_IMAGES, ids=str)
    def test_reads_unusual_images_as_displayed(engine: Engine, odd: OddImage) -> None:
        item, plain = ask(engine, images=[odd.uri, odd.plain_uri])
        assert (item.width, item.height) == odd.size
        assert content(item) == content(plain)
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

from contract.media import data_uri

SIZE = (80, 60)
_TRANSPARENT = (60, 40, 79, 59)  # the corner that is transparent in images with an alpha channel
_SIDEWAYS = 6  # EXIF orientation: rotate by 90 degrees clockwise for display


@dataclass(frozen=True)
class OddImage:
    """A file, a plain RGB file that looks the same, and the width and height at which it is displayed."""

    name: str
    content: bytes
    plain: bytes
    size: tuple[int, int]

    def __str__(self) -> str:
        return self.name

    @property
    def uri(self) -> str:
        return data_uri(self.content)

    @property
    def plain_uri(self) -> str:
        return data_uri(self.plain, "image/png")


def drawing() -> Image.Image:
    """A few shapes in flat colours, in RGB: few enough colours for a palette, and no symmetry."""
    image = Image.new("RGB", SIZE, (230, 230, 240))
    draw = ImageDraw.Draw(image)
    draw.rectangle((6, 6, 36, 28), fill=(200, 30, 30))
    draw.ellipse((40, 20, 74, 54), fill=(30, 90, 200))
    draw.polygon([(10, 56), (24, 34), (38, 56)], fill=(20, 150, 60))
    draw.line((0, 0, 79, 10), fill=(0, 0, 0), width=2)
    return image


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    """The image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def uri(image: Image.Image) -> str:
    """The image as a data URI."""
    return data_uri(encoded(image), "image/png")


def _odd(name: str, content: bytes, plain: Image.Image) -> OddImage:
    return OddImage(name, content, encoded(plain), plain.size)


def _odd_images() -> Iterator[OddImage]:
    rgb, grey = drawing(), drawing().convert("L")
    yield _odd("grey", encoded(grey), grey.convert("RGB"))
    yield _odd("palette", encoded(rgb.quantize(16)), rgb.quantize(16).convert("RGB"))
    yield _odd("16-bit", encoded(_to_16_bits(grey)), grey.convert("RGB"))
    yield _odd("RGBA", encoded(_with_transparency(rgb)), _on_white(rgb))
    yield _odd("grey-alpha", encoded(_with_transparency(grey)), _on_white(grey.convert("RGB")))
    yield _odd("EXIF-rotated", *_sideways(rgb))
    yield _odd("animated-GIF", _animated(rgb.quantize(16), "GIF"), rgb.quantize(16).convert("RGB"))
    yield _odd("animated-WebP", _animated(rgb, "WEBP", lossless=True), rgb)


def _to_16_bits(grey: Image.Image) -> Image.Image:
    """An image of greys from 0 to 255, on a scale from 0 to 65535."""
    deep = Image.new("I;16", grey.size)
    for y in range(grey.height):
        for x in range(grey.width):
            deep.putpixel((x, y), grey.getpixel((x, y)) * 257)
    return deep


def _with_transparency(image: Image.Image) -> Image.Image:
    alpha = Image.new("L", image.size, 255)
    ImageDraw.Draw(alpha).rectangle(_TRANSPARENT, fill=0)
    image = image.copy()
    image.putalpha(alpha)
    return image


def _on_white(image: Image.Image) -> Image.Image:
    image = image.copy()
    ImageDraw.Draw(image).rectangle(_TRANSPARENT, fill="white")
    return image


def _sideways(image: Image.Image) -> tuple[bytes, Image.Image]:
    """A photograph taken with a camera on its side, and the same image upright."""
    exif = Image.Exif()
    exif[0x0112] = _SIDEWAYS
    content = encoded(image, "JPEG", exif=exif, quality=95)
    with Image.open(io.BytesIO(content)) as stored:
        return content, stored.convert("RGB").transpose(Image.Transpose.ROTATE_270)


def _animated(image: Image.Image, file_format: str, **options: Any) -> bytes:
    later = Image.new(image.mode, image.size)
    return encoded(image, file_format, save_all=True, append_images=[later, image], **options)


ODD_IMAGES = tuple(_odd_images())
