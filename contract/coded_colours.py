"""Colours that a HEIC, AVIF or PNG image names by numbers (ITU-T H.273) instead of by a colour profile.

pillow-heif reads those of HEIC. Pillow skips the others: AVIF has them in a box `colr` of the kind `nclx` (ISO/IEC
14496-12), PNG in the chunk `cICP` (PNG, third edition).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from contract import png_files
from contract.errors import BadImage
from contract.heif_files import boxes

if TYPE_CHECKING:
    from PIL import Image

NUMBERS = "nclx_profile"
"""Where they are in an image's `info`: pillow-heif's name."""
_P3, _CURVE_OF_SRGB = 12, 13
_HDR = {16: "PQ", 18: "HLG"}
_WIDE = {9: "BT.2020", 11: "DCI-P3", _P3: "Display P3"}

D50 = (0.9642, 1.0, 0.8249)
"""The white of profiles."""
_P3_PRIMARIES = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""Display P3 shares it."""


def read_into(image: Image.Image, content: bytes) -> None:
    """Put the numbers that a file of PNG or AVIF has into the `info` of its image, as pillow-heif does for HEIC."""
    reader = {"PNG": _in_png, "AVIF": _in_avif}.get(image.format or "")
    try:
        numbers = reader(content) if reader else None
    except (struct.error, ValueError, BadImage):  # a damaged file, of which its decoder says what is wrong
        return
    if numbers:
        image.info[NUMBERS] = dict(zip(("color_primaries", "transfer_characteristics"), numbers, strict=True))


def _in_png(content: bytes) -> tuple[int, ...] | None:
    """The chunk is in front of the pixels."""
    for name, start, _ in png_files.chunks(content):
        if name == b"cICP":
            return struct.unpack_from(">BB", content, start)
        if name == b"IDAT":
            break
    return None


def _in_avif(content: bytes) -> tuple[int, ...] | None:
    """The first such box: the images that a file is made of have the same colours."""
    first, last = 0, len(content)
    for path in (b"meta", b"iprp", b"ipco"):
        inner = next(((start, end) for name, start, end in boxes(content, first, last) if name == path), None)
        if inner is None:
            return None
        first, last = inner[0] + 4 * (path == b"meta"), inner[1]
    for name, start, _ in boxes(content, first, last):
        if name == b"colr" and content[start : start + 4] == b"nclx":
            return struct.unpack_from(">HH", content, start + 4)
    return None


def profile_of(info: Mapping[str, Any]) -> bytes | None:
    """The colour profile (ICC) that the numbers stand for; None for those of sRGB, and those that have none here."""
    numbers = info.get(NUMBERS) or {}
    coded = (numbers.get("color_primaries"), numbers.get("transfer_characteristics"))
    return display_p3() if coded == (_P3, _CURVE_OF_SRGB) else None


def problem_of(info: Mapping[str, Any]) -> str | None:
    """Why an image is not shown as its numbers say; None if it is."""
    numbers = info.get(NUMBERS) or {}
    if curve := _HDR.get(numbers.get("transfer_characteristics", 0)):
        return f"The image is HDR ({curve}), which is not converted: it looks paler than on a screen. Send a JPEG."
    if primaries := _WIDE.get(numbers.get("color_primaries", 0)):
        return (
            f"The image's colours are those of {primaries}, without a profile that says how. They may differ slightly."
        )
    return None


@cache
def display_p3() -> bytes:
    """The profile of a phone's photographs."""
    return matrix_profile(_P3_PRIMARIES, _SRGB_CURVE)


def matrix_profile(primaries: Sequence[Sequence[float]], curve: Sequence[float]) -> bytes:
    """The profile of this red, green and blue (XYZ under D50), with an exponent or a curve of five numbers."""
    coded = b"para" + bytes(4) + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0) + fixed(*curve)
    colours = zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    tags = {tag: b"XYZ " + bytes(4) + fixed(*xyz) for tag, xyz in colours}
    return profile(b"mntr", b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), coded))


def profile(device: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """A profile (ICC.1:2022) of these elements."""
    table, data = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += padded
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x04400000, device, space, connection)
    header += bytes(12) + b"acsp" + bytes(28) + fixed(*D50)
    return header + bytes(128 - len(header)) + table + data


def fixed(*numbers: float) -> bytes:
    """Numbers as a profile has them: 16 bits before the point, and 16 after it."""
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))
