"""Colour profiles of phones, printers and scanners, built by hand (ICC.1:2022), and images in their colours."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

from PIL import Image, ImageCms, PngImagePlugin

from contract.coded_colours import display_p3, fixed, profile

__all__ = ["P3_POINTS", "converted", "dark_greys", "display_p3", "inks", "png_chunks", "srgb"]

P3_POINTS = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
"""The chromaticities of Display P3: white, red, green and blue."""


def dark_greys() -> bytes:
    """The profile of greys with a gamma of 3."""
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": b"para" + bytes(8) + fixed(3.0)})


def inks(tag: bytes = b"A2B0") -> bytes:
    """The profile of a printer whose inks are red, green, blue and black."""
    corners = bytearray()
    for number in range(16):
        red, green, blue, black = (number >> bit & 1 for bit in (3, 2, 1, 0))
        lightness = 255 - 60 * (red + green + blue)
        corners += bytes([0 if black else lightness, 128 + 60 * (red - green), 128 + 40 * (red + green - 2 * blue)])
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += bytes(range(256)) * 4 + corners + bytes(range(256)) * 3
    return profile(b"prtr", b"CMYK", b"Lab ", {tag: table})


def converted(image: Image.Image, source: bytes, target: bytes | None = None) -> Image.Image:
    """The image from one profile to another in RGB, by ImageCms itself; without a target, to sRGB."""
    to = io.BytesIO(target) if target else ImageCms.createProfile("sRGB")
    new = ImageCms.profileToProfile(image, io.BytesIO(source), to, outputMode="RGB")
    assert new is not None
    return new


def png_chunks(gamma: float | None = None, points: Sequence[float] = ()) -> PngImagePlugin.PngInfo:
    """PNG's own description of colours: its gamma, and the chromaticities of white, red, green and blue."""
    chunks = PngImagePlugin.PngInfo()
    if points:
        chunks.add(b"cHRM", struct.pack(f">{len(points)}I", *(round(point * 100000) for point in points)))
    if gamma is not None:
        chunks.add(b"gAMA", struct.pack(">I", round(gamma * 100000)))
    return chunks


def srgb() -> bytes:
    """The profile that most programs write."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
