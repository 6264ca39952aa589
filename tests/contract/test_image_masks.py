"""Masks as clients send them: transparent, black and white, or the transparent part of the image itself."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from contract.errors import BadImage
from contract.image_loading import open_mask, open_with_transparency
from contract.media import ImageInput
from tests.support.odd_images import encoded


def sent(image: Image.Image, file_format: str = "PNG", **options: Any) -> ImageInput:
    return ImageInput(encoded(image, file_format, **options))


def strip(mode: str, *pixels: Any) -> Image.Image:
    """An image of one row of pixels."""
    image = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    return image


def values(mask: Image.Image | None) -> list[int]:
    assert mask is not None
    assert mask.mode == "L"
    return [mask.getpixel((x, 0)) for x in range(mask.width)]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_mask_marks_full_transparency_of_any_colour(mode: str) -> None:
    white, black = ((255, 255, 255), (0, 0, 0)) if mode == "RGBA" else ((255,), (0,))
    image = strip(mode, (*white, 0), (*black, 0), (*white, 1), (*white, 255), (*black, 255))
    assert values(open_mask(sent(image))) == [255, 255, 0, 0, 0]


def test_mask_reads_a_palettes_transparent_entry() -> None:
    image = strip("P", 0, 1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    assert values(open_mask(sent(image, transparency=0))) == [255, 0]


@pytest.mark.parametrize(
    ("mode", "pixels"),
    [
        ("1", (0, 255)),
        ("L", (127, 128)),
        ("RGB", ((90, 90, 90), (200, 200, 200))),
        ("RGBA", ((0, 0, 0, 255), (255, 255, 255, 255))),
        ("I;16", (0x1000, 0xF000)),
    ],
)
def test_mask_without_transparency_marks_white(mode: str, pixels: tuple[Any, Any]) -> None:
    assert values(open_mask(sent(strip(mode, *pixels)))) == [0, 255]


def test_mask_applies_exif_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = open_mask(sent(strip("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)), exif=exif))
    assert mask.size == (1, 2)
    assert [mask.getpixel((0, y)) for y in (0, 1)] == [255, 0]


def test_transparent_part_is_a_mask_and_white() -> None:
    image, holes = open_with_transparency(sent(strip("RGBA", (9, 9, 9, 0), (9, 9, 9, 255))))
    assert values(holes) == [255, 0]
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (9, 9, 9)]


@pytest.mark.parametrize("image", [strip("RGB", (1, 2, 3)), strip("RGBA", (1, 2, 3, 128))])
def test_opaque_image_has_no_mask(image: Image.Image) -> None:
    assert open_with_transparency(sent(image))[1] is None


def test_refuses_a_damaged_mask() -> None:
    with pytest.raises(BadImage, match="damaged"):
        open_mask(ImageInput(b"no image"))
