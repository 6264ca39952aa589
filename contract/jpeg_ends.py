"""JPEG files without the marker of their end, as some cameras write them: told apart from files that lack pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from contract.image_files import open_header

_START, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_FILLINGS = (b"", bytes(2048), bytes(range(1, 255)) * 8, b"\xaa" * 2048)
_COEFFICIENTS = 64


def with_end(content: bytes) -> bytes | None:
    """A truncated file with the marker of its end, if that is all that it lacks; None for any other file.

    Where pixels are missing, the decoder makes them from whatever follows: they then differ with what does.
    """
    if not content.startswith(_START):
        return None
    start = content.rstrip(b"\xff")  # the first half of a marker
    try:
        with open_header(content) as image:
            if image.info.get("progressive") and not _has_all_scans(content, len(image.getbands())):
                return None
        pixels = {_digest(start + filling + _END) for filling in _FILLINGS}
    except OSError:
        return None
    return start + _END if len(pixels) == 1 else None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(open_header(content).tobytes()).digest()


def _has_all_scans(content: bytes, components: int) -> bool:
    """Whether a progressive file has scans with every bit of every coefficient."""
    known = set(_last_bits(content))
    return len(known) == components * _COEFFICIENTS


def _last_bits(content: bytes) -> Iterator[tuple[int, int]]:
    """The components and coefficients whose lowest bit is in one of the scans."""
    position = 0
    while (position := content.find(_SCAN, position) + 2) > 1:
        count = content[position + 2] if position + 2 < len(content) else 0
        parameters = content[position + 3 + 2 * count : position + 6 + 2 * count]
        if len(parameters) == 3 and not parameters[2] & 15:
            for component in content[position + 3 : position + 3 + 2 * count : 2]:
                yield from ((component, number) for number in range(parameters[0], parameters[1] + 1))
