"""Follows the frames that a WebSocket's server sends, so that a Close frame of our own can follow the last one whole.

The frames are those of RFC 6455, section 5.2. Only their heads are read.
"""

from __future__ import annotations

from contract.errors import Evicted, ServeError, ShuttingDown, Unavailable

_CLOSE = 0x8
_SERVER_RESTARTS, _TRY_AGAIN_LATER, _INTERNAL_ERROR = 1012, 1013, 1011
_LONGEST_REASON = 123
"""Bytes; a control frame has at most 125, of which the code takes 2."""


class Frames:
    """What has been sent so far. `closed`: a Close frame was among it."""

    def __init__(self) -> None:
        self.closed = False
        self._head = bytearray()
        self._left = 0  # bytes of the current frame's payload that are still to come

    @property
    def between_frames(self) -> bool:
        """Whether all frames that have begun are complete."""
        return not self._head and not self._left

    def feed(self, data: bytes) -> None:
        """Note that `data` is sent."""
        position = 0
        while position < len(data):
            if self._left:
                taken = min(self._left, len(data) - position)
                self._left -= taken
            else:
                taken = min(self._missing(), len(data) - position)
                self._head += data[position : position + taken]
                if not self._missing():
                    self._begin()
            position += taken

    def _missing(self) -> int:
        """How many bytes of the current frame's head are still to come."""
        head = self._head
        if len(head) < 2:
            return 2 - len(head)
        return 2 + _extended(head) + (4 if head[1] & 0x80 else 0) - len(head)

    def _begin(self) -> None:
        head, extended = self._head, _extended(self._head)
        self._left = int.from_bytes(head[2 : 2 + extended]) if extended else head[1] & 0x7F
        self.closed |= head[0] & 0x0F == _CLOSE
        self._head = bytearray()


def _extended(head: bytearray) -> int:
    """How many bytes after the first two hold the payload's length."""
    return {126: 2, 127: 8}.get(head[1] & 0x7F, 0)


def close_frame(error: ServeError) -> bytes:
    """The Close frame that tells a client of an error."""
    code = _INTERNAL_ERROR
    if isinstance(error, ShuttingDown | Evicted):
        code = _SERVER_RESTARTS
    elif isinstance(error, Unavailable):
        code = _TRY_AGAIN_LATER
    reason = error.message.encode()[:_LONGEST_REASON].decode(errors="ignore").encode()
    return bytes([0x80 | _CLOSE, 2 + len(reason)]) + code.to_bytes(2) + reason
