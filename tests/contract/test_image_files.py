"""Image files whose metadata would take seconds or gigabytes to read, and formats whose headers cannot be trusted."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from contract import image_files
from contract.errors import BadImage
from contract.image_files import MAX_BLOCKS, MAX_COMPRESSED_BLOCKS, MAX_SCANS, open_header
from contract.media import ImageInput


def encoded(file_format: str, **options: Any) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 6)).save(content, file_format, **options)
    return content.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with these chunks before its pixels."""
    content = encoded("PNG")
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return content[:33] + b"".join(parts) + content[33:]


def jpeg(inserted: bytes) -> bytes:
    content = encoded("JPEG")
    return content[:2] + inserted + content[2:]


def segment(data: bytes, marker: int = 0xE1) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_scans(count: int) -> bytes:
    """A progressive JPEG with this many scans, most of which add nothing and take time for all pixels even so."""
    content = encoded("JPEG", progressive=True)
    empty = segment(bytes([1, 1, 0x00, 1, 63, 0]), 0xDA)
    return content[:-2] + empty * (count - content.count(b"\xff\xda")) + content[-2:]


def gif(inserted: bytes, frame: tuple[int, int] = (8, 6)) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", 8, 6, 0x80, 0, 0) + bytes(6)
    return screen + inserted + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x4c\x01\x00;"


def directory(entries: int, values: int, *tags: tuple[int, int, int, int]) -> bytes:
    """A TIFF directory whose entries all refer to the same bytes."""
    head = [(256, 4, 1, 8), (257, 4, 1, 6), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    known = {tag[0]: tag for tag in (*head, *tags)}
    rows = [*known.values(), *((1000 + number, 7, values, 8) for number in range(entries))]
    packed = b"".join(struct.pack("<HHII", *row) for row in rows)
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + packed + bytes(4)


def exif_segments(tiff: bytes) -> bytes:
    return b"".join(segment(b"Exif\0\0" + tiff[start : start + 60_000]) for start in range(0, len(tiff), 60_000))


INFLATED = zlib.compress(bytes(2**20 - 1), 9)
BOMBS = {
    "png-iccp": png(*[(b"iCCP", b"x\0\0" + INFLATED)] * (MAX_COMPRESSED_BLOCKS + 1)),
    "png-ztxt": png(*[(b"zTXt", b"x\0\0" + INFLATED)] * (MAX_COMPRESSED_BLOCKS + 1)),
    "png-itxt": png(*[(b"iTXt", b"x\0\1\0\0\0" + INFLATED)] * (MAX_COMPRESSED_BLOCKS + 1)),
    "png-text": png(*[(b"tEXt", b"x\0x")] * (MAX_BLOCKS + 1)),
    "png-empty": png(*[(b"IDAT", b"")] * 3 * MAX_BLOCKS),
    "jpeg-exif": jpeg(segment(b"Exif\0\0") * (MAX_BLOCKS + 1)),
    "jpeg-comment": jpeg(segment(b"", 0xFE) * (MAX_BLOCKS + 1)),
    "jpeg-padding": jpeg(b"\xff" * (MAX_BLOCKS + 1)),
    "jpeg-junk": jpeg(b"a" * (MAX_BLOCKS + 1)),
    "jpeg-entries": jpeg(exif_segments(directory(5000, 60_000))),
    "jpeg-overlap": jpeg(exif_segments(directory(500, 110_000) + bytes(120_000))),
    "jpeg-scans": with_scans(MAX_SCANS + 1),
    "gif-comment": gif(b"\x21\xfe" + b"\x01a" * MAX_BLOCKS + b"\x00"),
    "gif-comments": gif(b"\x21\xfe\x01a\x00" * MAX_BLOCKS),
    "gif-junk": gif(b"a" * (MAX_BLOCKS + 1)),
    "tiff-entries": directory(5000, 1000) + bytes(1000),
    "tiff-overlap": directory(500, 100_000) + bytes(100_000),
    "tiff-strips": directory(0, 0, (278, 4, 1, 1), (273, 3, 2**18 + 1, 8)) + bytes(2**20),
    "tiff-rationals": directory(0, 0, (282, 5, 2**18 + 1, 8)) + bytes(2**22),
    "tiff-tile": directory(0, 0, (322, 4, 1, 60_000), (323, 4, 1, 60_000)),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_refuses_metadata_that_takes_long_to_read(bomb: bytes) -> None:
    with pytest.raises(BadImage, match="Save it again without metadata"), open_header(bomb) as image:
        image.getexif()


@pytest.mark.parametrize("bomb", [content for name, content in BOMBS.items() if not name.startswith("png")])
def test_checking_an_image_refuses_large_metadata_too(bomb: bytes) -> None:
    for value in (bomb, base64.b64encode(bomb).decode()):
        with pytest.raises(BadImage):
            ImageInput(value).check()


def test_opens_a_jpeg_with_as_many_scans_as_allowed() -> None:
    with open_header(with_scans(MAX_SCANS)) as image:
        image.load()


def test_checking_a_png_inflates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("Pillow would inflate the metadata"))
    for name in ("png-iccp", "png-ztxt", "png-itxt"):
        ImageInput(BOMBS[name]).check()


@pytest.mark.parametrize("frame", [(8001, 8000), (60_000, 10)])
def test_counts_a_gif_frame_outside_of_its_screen(frame: tuple[int, int]) -> None:
    content = gif(b"", frame)
    assert len(content) < 50
    with pytest.raises(BadImage, match=r"million|at most 200 times"):
        ImageInput(content).check()


@pytest.mark.parametrize("file_format", ["ICO", "PPM", "TGA", "PCX", "ICNS", "JPEG2000"])
def test_refuses_formats_whose_headers_are_not_trusted(file_format: str) -> None:
    with pytest.raises(BadImage, match="format is unknown"):
        ImageInput(encoded(file_format)).check()


@pytest.mark.parametrize("file_format", image_files.FORMATS)
def test_opens_the_accepted_formats_with_metadata(file_format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description " * 100
    options = {"exif": exif, "icc_profile": bytes(200_000)} if file_format in {"PNG", "JPEG", "WEBP", "AVIF"} else {}
    content = encoded(file_format, **options)
    ImageInput(content).check()
    with open_header(content) as image:
        assert image.size == (8, 6)
        assert image.getexif().get(0x010E) == (exif[0x010E] if options else None)
