"""Colour profiles: applied as Little CMS applies them, and ignored with a sentence if that is impossible."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, ImageChops

from contract.coded_colours import read_into
from contract.colour_profiles import MAX_PROFILE_BYTES, MAX_TAGS
from contract.image_loading import open_image
from contract.media import ImageInput
from scripts.testbed.colour_profiles import converted, dark_greys, display_p3, inks, srgb
from scripts.testbed.images import drawing, file, heic


def noise(mode: str) -> Image.Image:
    """All kinds of colours."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (64, 48), random.Random(7).randbytes(64 * 48 * bands))


@pytest.mark.parametrize(("mode", "profile"), [("RGB", display_p3()), ("CMYK", inks()), ("L", dark_greys())])
def test_profile_is_applied_as_its_library_does(mode: str, profile: bytes) -> None:
    source = ImageInput(file(noise(mode), "TIFF", icc_profile=profile))
    assert ImageChops.difference(open_image(source), converted(noise(mode), profile)).getbbox() is None
    assert source.warning == ""


def test_reds_of_display_p3_become_the_reds_of_srgb() -> None:
    pixel = Image.new("RGB", (8, 8), (234, 51, 35))  # what Apple's ColorSync says of sRGB's red
    red, green, blue = open_image(ImageInput(file(pixel, "PNG", icc_profile=display_p3()))).getpixel((0, 0))
    assert red >= 254
    assert green <= 3
    assert blue <= 3


def test_profile_of_srgb_changes_nothing() -> None:
    opened = open_image(ImageInput(file(noise("RGB"), "PNG", icc_profile=srgb())))
    assert ImageChops.difference(opened, noise("RGB")).getbbox() is None


def test_greys_may_have_a_profile_for_colours() -> None:
    source = ImageInput(file(noise("L"), "PNG", icc_profile=display_p3()))
    assert (
        ImageChops.difference(open_image(source), converted(noise("L").convert("RGB"), display_p3())).getbbox() is None
    )
    assert source.warning == ""


def with_tags(number: int) -> bytes:
    """A profile with `number` more tags, all of which refer to the same bytes."""
    profile = display_p3()
    [count] = struct.unpack_from(">I", profile, 128)
    return profile[:128] + struct.pack(">I", count + number) + profile[132:144] * number + profile[132:]


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "no profile at all": (lambda: b"not a profile", "damaged"),
    "its end is missing": (lambda: display_p3()[:-40], "cut off"),
    "a curve is missing": (lambda: display_p3().replace(b"rTRC", b"none"), "cannot build transform"),
    "a curve of an unknown type": (lambda: display_p3().replace(b"para", b"none"), "cannot build transform"),
    "inks": (inks, "for CMYK and the pixels are RGB"),
    "greys": (dark_greys, "for L and the pixels are RGB"),
    "named colours": (lambda: display_p3().replace(b"mntr", b"nmcl"), "nmcl"),
    "too many tags": (lambda: with_tags(MAX_TAGS), "damaged"),
    "elements that are read again and again": (lambda: display_p3().replace(b"para", b"mpet"), "multi-process"),
    "far too large": (lambda: display_p3() + bytes(MAX_PROFILE_BYTES), "more than 16 MiB"),
}


@pytest.mark.parametrize(("profile", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_profile_that_cannot_be_applied_is_ignored(profile: Callable[[], bytes], reason: str) -> None:
    source = ImageInput(file(drawing(), "TIFF", icc_profile=profile()))
    assert ImageChops.difference(open_image(source), drawing()).getbbox() is None
    assert source.warning.startswith("The image's colour profile is ignored: ")
    assert reason in source.warning


def heic_with(image: Image.Image, primaries: int, transfer: int) -> bytes:
    """As some cameras write it: numbers for the colours, and no profile."""
    numbers = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 1}
    return heic(image, chroma=444, **numbers)


def avif_with(image: Image.Image, primaries: int, transfer: int) -> bytes:
    """Pillow writes those of sRGB."""
    written = file(image, "AVIF", quality=95, subsampling="4:4:4")
    numbers = b"colrnclx" + struct.pack(">HH", 1, 13)
    assert written.count(numbers) == 1
    return written.replace(numbers, b"colrnclx" + struct.pack(">HH", primaries, transfer))


def png_with(image: Image.Image, primaries: int, transfer: int) -> bytes:
    """The chunk is behind the header, of 33 bytes with the file's signature."""
    written, chunk = file(image, "PNG"), b"cICP" + bytes([primaries, transfer, 0, 1])
    return written[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + written[33:]


WRITERS = pytest.mark.parametrize("write", [heic_with, avif_with, png_with])


@WRITERS
def test_numbers_for_display_p3_are_like_its_profile(write: Callable[[Image.Image, int, int], bytes]) -> None:
    pixel = Image.new("RGB", (64, 64), (234, 51, 35))
    source = ImageInput(write(pixel, 12, 13))
    red, green, blue = open_image(source).getpixel((8, 8))
    assert red >= 252
    assert green <= 6
    assert blue <= 6
    assert source.warning == ""


@WRITERS
@pytest.mark.parametrize(
    ("primaries", "transfer", "warning"),
    [(9, 16, "HDR (PQ)"), (9, 18, "HDR (HLG)"), (9, 1, "BT.2020"), (1, 13, ""), (2, 2, "")],
)
def test_numbers_that_are_not_converted_are_warned_of(
    write: Callable[[Image.Image, int, int], bytes], primaries: int, transfer: int, warning: str
) -> None:
    source = ImageInput(write(drawing(), primaries, transfer))
    open_image(source)
    assert warning in source.warning
    assert bool(warning) == bool(source.warning)


@pytest.mark.parametrize("write", [avif_with, png_with])
def test_numbers_are_read_from_any_beginning_of_a_file(write: Callable[[Image.Image, int, int], bytes]) -> None:
    content, image = write(drawing(), 12, 13), Image.new("RGB", (1, 1))
    image.format = "PNG" if write is png_with else "AVIF"
    for end in range(len(content)):
        read_into(image, content[:end])
    assert image.info["nclx_profile"] == {"color_primaries": 12, "transfer_characteristics": 13}
