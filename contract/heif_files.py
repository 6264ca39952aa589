"""HEIC images, as phones make them: opened with pillow-heif, after a look at what decoding them would take.

A file lists its items (images, tiles, metadata) in boxes that may refer to the same bytes any number of times, and
images may be put together from others: a file of a few kilobytes could take gigabytes, or hours. The boxes are those
of ISO/IEC 23008-12 and 14496-12.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from contract.errors import BadImage

if TYPE_CHECKING:
    from PIL import Image

MAX_ITEMS = 4096
MAX_TILE_PIXELS = 2**28
"""The most pixels of an image's tiles in all: they are cut to its size, so that it does not say how many there are."""
MAX_METADATA_BYTES = 2**26
"""The most bytes of metadata, counted once for each image, because each gets a copy."""

_BRANDS = {b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")}
_METADATA = {b"Exif", b"mime", b"uri "}
_LAYERED = {b"iovl", b"iden", b"unci", b"mski"}
"""Images that are made of other images, or are not compressed: no camera writes them."""

_FileBox = tuple[bytes, int, int]
"""A name, and where in the file the content starts and ends."""


class _FileItem(NamedTuple):
    """What one entry of the file says of itself; a hidden item is part of another one."""

    name: bytes
    hidden: bool


def is_heif(head: bytes) -> bool:
    """Whether a file that begins like this is of the HEIF family. Some AVIF files say so, too."""
    return head[4:12] in _BRANDS


def open_heif(content: bytes) -> Image.Image:
    """Pillow's image, of which only the header is read so far.

    Raises BadImage for files that take too much to decode, or if pillow-heif is not installed, and whatever Pillow
    raises for damaged ones.
    """
    from PIL import Image

    _register()
    _check_items(content)
    image = Image.open(io.BytesIO(content), formats=("AVIF", "HEIF"))
    tiling = image.info.get("tiling")
    if tiling:
        sides = ("num_columns", "num_rows", "tile_width", "tile_height")
        columns, rows, width, height = (tiling[side] for side in sides)
        if columns * rows * width * height > MAX_TILE_PIXELS:
            raise _too_much("pixels in its tiles")
    return image


@cache
def _register() -> None:
    """Add the format to Pillow, once: it brings libraries of 26 MB, which most processes never need."""
    try:
        import pillow_heif
    except ImportError:
        raise BadImage(
            "The image is a HEIC file, for which the server needs pillow-heif: run `make setup` there, or send PNG."
        ) from None
    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def _check_items(content: bytes) -> None:
    """Raise BadImage for a file whose items take too much. Raises ValueError for a file of which a part is missing."""
    meta = next((box for box in boxes(content, 0, len(content)) if box[0] == b"meta"), None)
    if meta is None:
        raise ValueError("the HEIC file has no list of its images")
    parts = {name: (start, end) for name, start, end in boxes(content, meta[1] + 4, meta[2])}
    items = dict(_items(content, *parts.get(b"iinf", (0, 0))))
    if any(item.name in _LAYERED for item in items.values()):
        raise BadImage("The image is a HEIC file made of layers. Export it as PNG or JPEG.")
    sizes = dict(_sizes(content, *parts.get(b"iloc", (0, 0))))
    metadata = sum(size for number, size in sizes.items() if number in items and items[number].name in _METADATA)
    images = sum(not item.hidden and item.name not in _METADATA for item in items.values())
    if sum(sizes.values()) > 2 * len(content):  # several items refer to the same bytes
        raise _too_much("bytes in its items")
    if images * metadata > MAX_METADATA_BYTES:
        raise _too_much("metadata")
    for source, parts_of_it in _references(content, *parts.get(b"iref", (0, 0))):
        grid = source in items and items[source].name == b"grid"
        if grid and any(number in items and items[number].name == b"grid" for number in parts_of_it):
            raise _too_much("images in each other")


def boxes(content: bytes, position: int, end: int) -> Iterator[_FileBox]:
    """The boxes between two places of the file."""
    for _ in range(MAX_ITEMS):
        if position + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", content, position)
        start = position + 8
        if size == 1 and start + 8 <= end:
            [size] = struct.unpack_from(">Q", content, start)
            start += 8
        following = position + size if size else end
        if not start <= following <= end:
            raise ValueError("the HEIC file ends too early")
        yield name, start, following
        position = following
    raise _too_much("items")


def _items(content: bytes, start: int, end: int) -> Iterator[tuple[int, _FileItem]]:
    """The items by their numbers, from the box `iinf`."""
    if start == end:
        return
    first = start + (6 if content[start] == 0 else 8)
    for _, entry, _ in boxes(content, first, end):
        version, flags = content[entry], content[entry + 3]
        number_format = ">H" if version < 3 else ">I"
        [number] = struct.unpack_from(number_format, content, entry + 4)
        name = entry + 6 + struct.calcsize(number_format)
        yield number, _FileItem(content[name : name + 4], bool(flags & 1))


def _sizes(content: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The bytes of each item, by its number, from the box `iloc`. Raises ValueError if some are not in the file."""
    if start == end:
        return
    reader = io.BytesIO(content[start:end])

    def number(size: int) -> int:
        return int.from_bytes(reader.read(size), "big")

    version = number(1)
    reader.seek(4)
    offset_and_length, base_and_index = number(1), number(1)
    for _ in range(min(number(2 if version < 2 else 4), MAX_ITEMS)):
        item = number(2 if version < 2 else 4)
        in_file = not number(2) & 15 if version else True
        number(2)
        base = number(base_and_index >> 4)
        total = 0
        for _ in range(number(2)):
            number(base_and_index & 15 if version else 0)
            offset, length = number(offset_and_length >> 4), number(offset_and_length & 15)
            if in_file and base + offset + length > len(content):
                raise ValueError("the HEIC file ends too early")
            total += length
        yield item, total


def _references(content: bytes, start: int, end: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Each item that is put together from others, and their numbers, from the box `iref`."""
    if start == end:
        return
    head, part = (">HH", ">H") if content[start] == 0 else (">IH", ">I")
    for name, first, last in boxes(content, start + 4, end):
        if name == b"dimg":
            source, count = struct.unpack_from(head, content, first)
            parts = first + struct.calcsize(head)
            listed = content[parts : min(last, parts + count * struct.calcsize(part))]
            yield source, tuple(number for [number] in struct.iter_unpack(part, listed))


def _too_much(what: str) -> BadImage:
    return BadImage(f"The image is a HEIC file with too many {what} to be opened. Send it as PNG or JPEG.")
