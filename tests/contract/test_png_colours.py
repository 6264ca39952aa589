"""Colours that a PNG describes by `gAMA` and `cHRM`: as browsers show them, and ignored where browsers do so."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from contract.image_files import open_header
from contract.image_loading import open_image
from contract.media import ImageInput
from scripts.testbed.colour_profiles import P3_POINTS, display_p3, png_chunks, srgb
from scripts.testbed.images import drawing, file

SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
PROPHOTO = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)
Points = tuple[float, ...]
Colour = tuple[int, int, int]

IN_CHROMIUM: list[tuple[float, Points, Colour, Colour]] = [
    (1.0, (), (200, 100, 50), (229, 168, 122)),
    (1.0, (), (40, 40, 40), (110, 110, 110)),
    (1.0, SRGB, (10, 220, 100), (56, 239, 168)),
    (0.55556, (), (200, 100, 50), (210, 119, 65)),
    (0.3, (), (10, 220, 100), (0, 205, 59)),
    (0.45455, P3_POINTS, (200, 100, 50), (216, 93, 24)),
    (0.45455, P3_POINTS, (40, 40, 40), (35, 35, 35)),
    (0.4547, ADOBE, (200, 100, 50), (227, 100, 42)),
    (0.4547, ADOBE, (10, 220, 100), (0, 221, 90)),
    (0.55556, PROPHOTO, (200, 100, 50), (255, 80, 47)),
    (0.55556, PROPHOTO, (10, 220, 100), (0, 249, 88)),
]
"""A gamma, chromaticities, a pixel of the file, and what Chromium 156 draws for it."""


def profile_in_png(content: bytes) -> bytes | None:
    """The profile that a file's image has once its header is read; None also for one that cannot be read."""
    try:
        profile: bytes | None = open_header(content).info.get("icc_profile")
    except (OSError, SyntaxError, ValueError):
        return None
    return profile


def described(image: Image.Image, gamma: float | None, points: Points, **options: Any) -> bytes:
    return file(image, "PNG", pnginfo=png_chunks(gamma, points), **options)


@pytest.mark.parametrize(("gamma", "points", "pixel", "drawn"), IN_CHROMIUM)
def test_pixels_are_those_that_a_browser_draws(gamma: float, points: Points, pixel: Colour, drawn: Colour) -> None:
    source = ImageInput(described(Image.new("RGB", (8, 8), pixel), gamma, points))
    seen = open_image(source).getpixel((4, 4))
    assert isinstance(seen, tuple)
    assert max(abs(ours - theirs) for ours, theirs in zip(seen, drawn, strict=True)) <= 1
    assert source.warning == ""


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_gamma_is_applied_to_every_kind_of_pixel(mode: str) -> None:
    image = Image.new("RGB", (8, 8), (40, 40, 40))
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    assert open_image(ImageInput(described(image, 1.0, ()))).getpixel((4, 4)) == (110, 110, 110)


SRGB_OR_NONSENSE: dict[str, tuple[float | None, Points]] = {
    "nothing": (None, ()),
    "the gamma of sRGB": (0.45455, ()),
    "gamma and points of sRGB": (0.45455, SRGB),
    "nearly sRGB": (0.45, tuple(point + 0.002 for point in SRGB)),
    "points alone": (None, P3_POINTS),
    "no gamma": (0.0, P3_POINTS),
    "a gamma far too large": (42949.67295, ()),
    "a gamma far too small": (0.00001, ()),
    "points of zeros": (1.0, (0.0,) * 8),
    "points beyond all colours": (1.0, (4.0,) * 8),
    "points on a line": (1.0, (0.3127, 0.329, 0.6, 0.3, 0.3, 0.3, 0.1, 0.3)),
    "a white outside": (1.0, (0.7, 0.29, *SRGB[2:])),
}


@pytest.mark.parametrize(("gamma", "points"), SRGB_OR_NONSENSE.values(), ids=SRGB_OR_NONSENSE)
def test_srgb_and_nonsense_change_no_pixel(gamma: float | None, points: Points) -> None:
    content = described(drawing(), gamma, points)
    source = ImageInput(content)
    assert open_image(source).tobytes() == drawing().tobytes()
    assert source.warning == ""
    assert profile_in_png(content) is None


@pytest.mark.parametrize(
    ("name", "data"), [(b"sRGB", b"\0"), (b"cICP", bytes([1, 13, 0, 1]))], ids=["sRGB", "cICP of sRGB"]
)
def test_better_descriptions_win(name: bytes, data: bytes) -> None:
    chunks = png_chunks(1.0, P3_POINTS)
    chunks.add(name, data)
    content = file(drawing(), "PNG", pnginfo=chunks)
    assert name in content
    assert open_image(ImageInput(content)).tobytes() == drawing().tobytes()


@pytest.mark.parametrize("profile", [srgb(), display_p3()], ids=["sRGB", "Display P3"])
def test_a_colour_profile_wins(profile: bytes) -> None:
    both = open_image(ImageInput(described(drawing(), 1.0, ADOBE, icc_profile=profile)))
    assert both.tobytes() == open_image(ImageInput(file(drawing(), "PNG", icc_profile=profile))).tobytes()


def test_a_gamma_behind_the_pixels_is_ignored() -> None:
    content, chunk = file(drawing(), "PNG"), b"gAMA" + struct.pack(">I", 100000)
    late = content[:-12] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[-12:]
    assert open_image(ImageInput(late)).tobytes() == drawing().tobytes()
    assert profile_in_png(late) is None


def test_the_chunks_are_read_from_any_beginning_of_a_file() -> None:
    content = described(drawing(), 1.0, P3_POINTS)
    whole = profile_in_png(content)
    assert whole
    assert {profile_in_png(content[:end]) for end in range(len(content))} <= {None, whole, gamma_alone(content)}


def gamma_alone(content: bytes) -> bytes | None:
    """The profile of a file whose chromaticities are left out."""
    return profile_in_png(content.replace(b"cHRM", b"cHRm"))
