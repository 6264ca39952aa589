"""Opens image files with Pillow, after refusing files whose metadata alone would take seconds or gigabytes to read.

A file of a few kilobytes can hold thousands of blocks that Pillow decompresses or joins while it opens the file, and
directories whose entries all refer to the same bytes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import cache
from typing import IO, TYPE_CHECKING, Any

from contract import coded_colours, png_files
from contract.errors import BadImage
from contract.heif_files import is_heif, open_heif
from contract.png_colours import profile_of_png

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF")
"""Pillow's names of the accepted formats, beside HEIC, which pillow-heif reads. EPS files are programs; files of many
others can have far more pixels than their header says."""

MAX_BLOCKS = 4096
"""The most blocks of metadata in a file. Real files have a few; a large colour profile in a JPEG has up to 255."""
MAX_COMPRESSED_BLOCKS = 16
"""The most compressed blocks of metadata in a PNG, each of which Pillow inflates to up to 1 MiB."""
MAX_SCANS = 128
"""The most scans of a JPEG. Real files have up to about 20; each takes time for all pixels, even if it has no data."""
MAX_DIRECTORY_BYTES = 32 * 2**20
"""The most bytes that the entries of one TIFF or EXIF directory may refer to, in all."""
MAX_DIRECTORY_ENTRIES = 512
MAX_DIRECTORY_VALUES = 2**18
"""The most numbers in one directory: as Python's objects, they take up to 150 times their bytes."""
_MAX_TILE_PIXELS = 2**26

_PNG_PIXELS = {b"IDAT", b"fdAT", b"fcTL"}
_PNG_COMPRESSED = {b"iCCP", b"zTXt", b"iTXt"}
_TIFF = (b"II*\0", b"MM\0*")
_BITS, _SAMPLES, _SAMPLE_FORMAT = 258, 277, 339
"""The tags of TIFF for the bits of each of a pixel's values, the number of these values, and what they are."""
_SCAN_MARKER = b"\xff\xda"
_SCAN, _WITHOUT_LENGTH = 0xDA, {0x01, *range(0xD0, 0xD9)}
"""JPEG's marker before the pixels, and those that no length follows."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value, for each of TIFF's field types."""
_TEXT = {1, 2, 7}
"""The field types that stay bytes."""
_TILE_SIDES = {322, 323}


def open_header(content: bytes) -> Image.Image:
    """Pillow's image, of which only the header is read so far.

    Raises BadImage for too much metadata, and whatever Pillow raises for damaged files and unknown formats.
    """
    from PIL import Image

    check_metadata(content)
    _bound_directories()
    image = open_heif(content) if is_heif(content) else Image.open(io.BytesIO(content), formats=FORMATS)
    coded_colours.read_into(image, content)
    if image.format == "PNG" and (profile := profile_of_png(image.info)):
        image.info["icc_profile"] = profile
    return image


def png_size(content: bytes) -> tuple[int, int] | None:
    """Width and height from the header of a PNG file; None for other files, or damaged ones."""
    if not content.startswith(png_files.SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 24:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def unreadable(content: bytes) -> BadImage:
    """The error for a file that Pillow does not open: it names the format, if that is known."""
    what = _other_format(content) or "damaged or its format is unknown"
    return BadImage(f"The image is {what}. Send PNG, JPEG, WebP, HEIC, AVIF, GIF, TIFF or BMP.")


def _other_format(content: bytes) -> str | None:
    """What a file is that is no image of an accepted format, in words; None if it is unknown."""
    text = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"%pdf"):
        return "a PDF document; render its pages"
    if text.startswith((b"%!ps", b"\xc5\xd0\xd3\xc6")):
        return "an EPS or PostScript file, which is a program; render it"
    if b"<svg" in text:
        return "an SVG drawing; render it"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page; send the address or the bytes of the image itself"
    return _tiff_pixels(content) if content.startswith(_TIFF) else None


def _tiff_pixels(content: bytes) -> str | None:
    """The pixels of a TIFF that Pillow does not read, in words; None if the file does not say."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    directory, file = ImageFileDirectory_v2(content[:8]), io.BytesIO(content)
    try:
        file.seek(directory.next)
        directory.load(file)
        bits, number = max(directory[_BITS]), directory.get(_SAMPLE_FORMAT, (1,))[0]
        values = directory.get(_SAMPLES, 1)
    except (KeyError, ValueError, TypeError, OSError, SyntaxError, struct.error):
        return None
    kind = {1: "unsigned integers", 2: "signed integers", 3: "floating-point numbers"}.get(number, "numbers")
    return f"a TIFF file of {bits}-bit {kind} ({values} for each pixel), which is not read; convert it"


def check_metadata(content: bytes) -> None:
    """Raise BadImage if the file has too many blocks of metadata. Stops reading there, or at the pixels."""
    for number, _ in enumerate(_blocks(content)):
        if number == MAX_BLOCKS:
            raise _too_much("blocks of metadata", MAX_BLOCKS)


def _blocks(content: bytes) -> Iterator[None]:
    """Yields for each block of metadata."""
    if content.startswith(png_files.SIGNATURE):
        return _png_blocks(content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg_blocks(content)
    return _gif_blocks(content) if content.startswith((b"GIF87a", b"GIF89a")) else iter(())


def _png_blocks(content: bytes) -> Iterator[None]:
    """The chunks that hold no pixels; Pillow reads those after the pixels as well."""
    compressed, empty = 0, 0
    for name, _, length in png_files.chunks(content):
        compressed += name in _PNG_COMPRESSED
        empty += length < 16
        if compressed > MAX_COMPRESSED_BLOCKS:
            raise _too_much("compressed blocks of metadata", MAX_COMPRESSED_BLOCKS)
        if name not in _PNG_PIXELS or empty > MAX_BLOCKS:
            yield


def _jpeg_blocks(content: bytes) -> Iterator[None]:
    """The segments before the pixels. Padding counts as a block for each byte, because Pillow reads it byte by byte."""
    position = 2
    while position + 4 <= len(content):
        yield
        marker = content[position + 1]
        if content[position] != 0xFF or marker in {0x00, 0xFF}:
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker == _SCAN:
            if content.count(_SCAN_MARKER) > MAX_SCANS:  # compressed pixels do not contain it
                raise _too_much("scans", MAX_SCANS)
            return
        else:
            position += 2 + max(2, int.from_bytes(content[position + 2 : position + 4], "big"))


def _gif_blocks(content: bytes) -> Iterator[None]:
    """The parts of all extensions before the first frame. Pillow skips other bytes one by one, so each counts."""
    if len(content) < 13:
        return
    flags = content[10]
    position = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while position < len(content) and content[position] not in b",;":
        yield
        extension = content[position] == ord("!")
        position += 2 if extension else 1
        while extension and position < len(content) and content[position]:
            yield
            position += 1 + content[position]
        position += extension


@cache
def _bound_directories() -> None:
    """Make Pillow refuse TIFF and EXIF directories of too many entries, or with too much data.

    It copies the data of each entry, also where thousands refer to the same bytes: gigabytes for a small file. This
    replaces a method of Pillow, because EXIF data is read in many places: JPEG, PNG, WebP, while opening and after.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    load = ImageFileDirectory_v2.load

    def bounded_load(self: Any, fp: IO[bytes]) -> None:
        start = fp.tell()
        _check_directory(self, fp)
        fp.seek(start)
        load(self, fp)

    ImageFileDirectory_v2.load = bounded_load


def _check_directory(directory: Any, fp: IO[bytes]) -> None:
    """Raise BadImage if the directory at the file's position is too large. `_endian` and `_bigtiff` are Pillow's."""
    endian, count_format, entry_format = directory._endian, "H", "HHL4s"
    if directory._bigtiff:
        count_format, entry_format = "Q", "HHQ8s"
    count_bytes = fp.read(struct.calcsize(endian + count_format))
    if len(count_bytes) < struct.calcsize(endian + count_format):
        return
    [count] = struct.unpack(endian + count_format, count_bytes)
    if count > MAX_DIRECTORY_ENTRIES:
        raise _too_much("entries in its metadata", MAX_DIRECTORY_ENTRIES)
    size = struct.calcsize(endian + entry_format)
    entries = fp.read(size * count)
    total, numbers, tile = 0, 0, 1
    for tag, kind, values, inline in struct.iter_unpack(endian + entry_format, entries[: len(entries) // size * size]):
        total += _SIZES.get(kind, 0) * values
        numbers += values if kind in _SIZES and kind not in _TEXT else 0
        if tag in _TILE_SIDES and kind in {3, 4}:
            [side] = struct.unpack_from(endian + ("H" if kind == 3 else "L"), inline)
            tile *= side
    if total > MAX_DIRECTORY_BYTES:
        raise _too_much("bytes of metadata", MAX_DIRECTORY_BYTES)
    if numbers > MAX_DIRECTORY_VALUES:
        raise _too_much("numbers in its metadata", MAX_DIRECTORY_VALUES)
    if tile > _MAX_TILE_PIXELS:
        raise _too_much("pixels in each tile", _MAX_TILE_PIXELS)


def _too_much(what: str, limit: int) -> BadImage:
    return BadImage(f"The image has more than {limit:,} {what}. Save it again without metadata, as PNG or JPEG.")
