"""Colour profiles of phones, printers and scanners, built by hand (ICC.1:2022), and images in their colours."""

from __future__ import annotations

import io
import struct
from typing import Any

from PIL import Image, ImageCms

_D50 = (0.9642, 1.0, 0.8249)
_P3 = {b"rXYZ": (0.51512, 0.2412, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189), b"bXYZ": (0.1571, 0.06657, 0.78407)}
"""The primaries of Display P3, as seen under D50."""
_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""The curve of sRGB, which Display P3 shares."""


def display_p3() -> bytes:
    """The profile of a phone's photographs."""
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(*_CURVE)
    colours = {tag: b"XYZ " + bytes(4) + _fixed(*xyz) for tag, xyz in _P3.items()}
    return _profile(b"mntr", b"RGB ", b"XYZ ", colours | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def dark_greys() -> bytes:
    """The profile of greys with a gamma of 3."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": b"para" + bytes(8) + _fixed(3.0)})


def inks(tag: bytes = b"A2B0") -> bytes:
    """The profile of a printer whose inks are red, green, blue and black."""
    corners = bytearray()
    for number in range(16):
        red, green, blue, black = (number >> bit & 1 for bit in (3, 2, 1, 0))
        lightness = 255 - 60 * (red + green + blue)
        corners += bytes([0 if black else lightness, 128 + 60 * (red - green), 128 + 40 * (red + green - 2 * blue)])
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += bytes(range(256)) * 4 + corners + bytes(range(256)) * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {tag: table})


def converted(image: Image.Image, source: bytes, target: bytes | None = None) -> Image.Image:
    """The image from one profile to another in RGB, by ImageCms itself; without a target, to sRGB."""
    to = io.BytesIO(target) if target else ImageCms.createProfile("sRGB")
    new = ImageCms.profileToProfile(image, io.BytesIO(source), to, outputMode="RGB")
    assert new is not None
    return new


def srgb() -> bytes:
    """The profile that most programs write."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def _profile(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, data = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += padded
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x04400000, device, space, connection)
    header += bytes(12) + b"acsp" + bytes(28) + _fixed(*_D50)
    return header + bytes(128 - len(header)) + table + data


def _fixed(*numbers: Any) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))
