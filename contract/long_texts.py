"""Puts very long texts together in short steps, between which other threads run."""

from __future__ import annotations

import codecs
import ctypes
from collections.abc import Iterable, Iterator

from contract.errors import BadRequest
from contract.limits import MAX_WIDE

PIECE = 64 * 1024
"""Bytes of text that are decoded at a time."""

_AT_ONCE = 32 * 2**20
"""Characters that are joined at once. A longer text grows in place: the largest blocks are pages of their own, which
the system moves without copying them."""
_MMAP_THRESHOLD, _M_MMAP_THRESHOLD = 2**20, -3
_TRIM_THRESHOLD, _M_TRIM_THRESHOLD = 16 * 2**20, -1


def return_large_blocks() -> None:
    """Make glibc keep each large block in pages of its own, which it returns to the system immediately.

    By default, it raises its threshold for this with the first large block that is freed, and keeps later ones. Of the
    smaller blocks, it keeps up to 16 MiB: to get the same pages from the system for each request costs milliseconds.
    """
    global _AT_ONCE  # noqa: PLW0603 - a property of the process
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
        _AT_ONCE = 2 * _MMAP_THRESHOLD


def joined(pieces: Iterable[str]) -> str:
    """The pieces as one text. Raises BadRequest for more than `MAX_WIDE` characters if some are beyond ASCII."""
    first: list[str] = []
    length, is_ascii, whole = 0, True, ""
    for piece in pieces:
        length, is_ascii = length + len(piece), is_ascii and piece.isascii()
        if length > MAX_WIDE and not is_ascii:
            raise too_much_text()
        first.append(piece)
        if whole or length >= _AT_ONCE:
            whole += "".join(first)
            first.clear()
    return whole + "".join(first)


def decoded(text: bytes) -> str:
    """The text of UTF-8. Raises UnicodeDecodeError, or BadRequest as `joined` does."""
    pieces = (text[start : start + PIECE] for start in range(0, len(text), PIECE))
    return joined(codecs.iterdecode(pieces, "utf-8"))


def ascii_pieces(text: memoryview) -> Iterator[str]:
    """The pieces of a text that is ASCII."""
    return (str(text[start : start + 16 * PIECE], "ascii") for start in range(0, len(text), 16 * PIECE))


def too_much_text() -> BadRequest:
    """The error for a request with too many characters in texts that are not ASCII."""
    message = f"The body has more than {MAX_WIDE} characters in texts with characters beyond ASCII. Split the request."
    return BadRequest(message)
