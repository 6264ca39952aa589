"""HEIC files that would take gigabytes or hours to decode, and files that are damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

import pytest
from PIL import Image

from contract import heif_files
from contract.errors import BadImage
from contract.heif_files import open_heif
from contract.image_loading import open_image
from contract.media import ImageInput
from scripts.testbed.images import drawing, heic


@cache
def tiled() -> bytes:
    return heic(drawing().resize((160, 120)), tile_size=64)


@cache
def with_metadata() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a description " * 100
    return heic(drawing(), exif=exif)


def named(content: bytes, old: bytes, new: bytes, count: int) -> bytes:
    """The file with another type of its first `count` items of the type `old`."""
    head, entries = content.split(b"iinf", 1)
    return head + b"iinf" + entries.replace(old + b"\0", new + b"\0", count)


def overlapping() -> bytes:
    """A file each of whose tiles has all of its bytes."""
    content = bytearray(tiled())
    place = content.index(b"iloc") + 12
    [count] = struct.unpack_from(">H", content, place - 2)
    for item in range(1, count):
        extents = place + 20 * item + 10
        assert struct.unpack_from(">H", content, extents) == (1,)
        struct.pack_into(">I", content, extents - 4, 0)
        struct.pack_into(">II", content, extents + 2, 0, len(content))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: named(tiled(), b"grid", b"iovl", 1), "made of layers"),
        (lambda: named(tiled(), b"hvc1", b"grid", 2), "images in each other"),
        (overlapping, "bytes in its items"),
    ],
)
def test_refuses_what_would_take_long_to_decode(content: Callable[[], bytes], words: str) -> None:
    for check in (lambda: open_heif(content()), lambda: ImageInput(content()).check()):
        with pytest.raises(BadImage, match=words):
            check()


def test_metadata_counts_once_for_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    open_heif(with_metadata()).close()
    monkeypatch.setattr(heif_files, "MAX_METADATA_BYTES", 1000)
    with pytest.raises(BadImage, match="too many metadata"):
        open_heif(with_metadata())


def test_tiles_count_with_what_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    open_heif(tiled()).close()
    monkeypatch.setattr(heif_files, "MAX_TILE_PIXELS", 160 * 120)
    with pytest.raises(BadImage, match="pixels in its tiles"):
        open_heif(tiled())


def test_a_header_of_another_size_is_an_error() -> None:
    content = bytearray(heic(drawing().resize((320, 240))))
    at = content.index(b"ispe") + 8
    content[at : at + 8] = struct.pack(">II", 64, 64)
    with pytest.raises(BadImage, match="damaged"):
        open_image(ImageInput(bytes(content)))


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.99])
def test_a_truncated_file_is_damaged(share: float) -> None:
    content = with_metadata()
    part = content[: int(len(content) * share)]
    for source in (ImageInput(part).check, lambda: open_image(ImageInput(part))):
        with pytest.raises(BadImage, match="damaged"):
            source()


def test_a_file_longer_than_the_first_look_is_read_whole() -> None:
    content = with_metadata()
    start = int.from_bytes(content[:4], "big")
    free = struct.pack(">I4s", 300_000, b"free") + bytes(300_000 - 8)
    far = bytearray(content[:start] + free + content[start:])
    place = far.index(b"iloc") + 12
    for item in range(int.from_bytes(far[place - 2 : place], "big")):
        offset = place + 18 * item + 4
        moved = int.from_bytes(far[offset : offset + 4], "big") + 300_000
        far[offset : offset + 4] = moved.to_bytes(4, "big")
    ImageInput(bytes(far)).check()
    assert open_image(ImageInput(bytes(far))).tobytes() == open_image(ImageInput(content)).tobytes()
