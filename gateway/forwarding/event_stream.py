"""Cuts a stream of server-sent events at the ends of events, so that a broken stream never ends with half of one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from contract.asgi.relay import UpstreamError

_END_OF_EVENT = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n|\Z))")
_DONE_OR_ERROR = re.compile(rb'(?:\A|[\r\n])data: ?(?:\[DONE\]|\{\s*"error"\s*:)')
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_LONGEST_END = len(b"\r\n\r\n")

MAX_EVENT = 2**20
"""Bytes that are held back at most. A longer event, such as one with an image, is passed on in pieces."""


async def whole_events(chunks: AsyncIterator[bytes], *, needs_last: bool = False) -> AsyncIterator[bytes]:
    """The stream in pieces that end with an event, each as soon as its last event is complete.

    At the end of the stream, an unfinished event is passed on: clients ignore it. If the stream breaks off
    (UpstreamError), it is dropped; with `needs_last`, also where it is not the last event of a stream, so that an error
    may follow.
    """
    held = bytearray()
    is_cut = False  # whether the client has the beginning of the held event
    try:
        async for chunk in chunks:
            searched = max(0, len(held) - _LONGEST_END)
            held += chunk
            end = _last_end(held, searched)
            if not end and len(held) > MAX_EVENT:
                end, is_cut = len(held), True
            elif end:
                is_cut = False
            if end:
                yield bytes(held[:end])
                del held[:end]
    except UpstreamError:
        if is_cut:
            yield b"\n\n"  # closes the event that cannot be taken back
        raise
    if held and (not needs_last or have_the_last(held)):
        yield bytes(held)
    elif is_cut:
        yield b"\n\n"


def have_the_last(events: bytes | bytearray) -> bool:
    """Whether one of these events ends a stream of OpenAI's API: `[DONE]`, an error, or a choice that is finished.

    `transformers serve` sends no `[DONE]`. Inside a text, the quotes of `finish_reason` would be escaped.
    """
    # `in` first: the expressions alone would hold the event loop for 17 ms in each 100 KB.
    if (b"[DONE]" in events or b'"error"' in events) and _DONE_OR_ERROR.search(events):
        return True
    return b'"finish_reason"' in events and _FINISHED.search(events) is not None


class WholeLines:
    """Turns a stream's line ends into line feeds, a CR and LF in different pieces included."""

    def __init__(self) -> None:
        self._ends_with_cr = False

    def __call__(self, piece: bytes) -> bytes:
        if self._ends_with_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._ends_with_cr = piece.endswith(b"\r") if piece else self._ends_with_cr
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _last_end(held: bytearray, start: int) -> int:
    """The index after the last event that is complete; 0 if none is."""
    # The usual ends are found from behind, so that the expression, which is slow, searches only what follows them.
    usual = [end + len(ending) for ending in (b"\n\n", b"\r\n\r\n") if (end := held.rfind(ending, start)) >= 0]
    last = max(usual, default=0)
    for match in _END_OF_EVENT.finditer(held, max(start, last)):
        last = match.end()
    return last
