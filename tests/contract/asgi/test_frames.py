"""Where WebSocket frames end, however the bytes arrive, and the Close frame that tells of an error."""

from __future__ import annotations

import os

import pytest

from contract.asgi.frames import Frames, close_frame
from contract.errors import Evicted, LoadFailed, ServeError, ShuttingDown, WorkerDied


def frame(opcode: int, size: int, *, masked: bool = False) -> bytes:
    """A frame with a random payload."""
    mask = 0x80 if masked else 0
    if size < 126:
        length = bytes([mask | size])
    elif size < 2**16:
        length = bytes([mask | 126]) + size.to_bytes(2)
    else:
        length = bytes([mask | 127]) + size.to_bytes(8)
    return bytes([opcode]) + length + (os.urandom(4) if masked else b"") + os.urandom(size)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("step", [1, 3, 65536])
def test_finds_the_end_of_every_frame(size: int, masked: bool, step: int) -> None:
    frames, sent = Frames(), frame(0x82, size, masked=masked)
    sent += frame(0x89, 4) + frame(0x01, 7)
    positions = []
    for start in range(0, len(sent), step):
        frames.feed(sent[start : start + step])
        if frames.between_frames:
            positions.append(min(start + step, len(sent)))
    assert positions[-1] == len(sent)
    if step == 1:
        assert len(positions) == 3
    assert not frames.closed


def test_notices_the_close_frame() -> None:
    frames = Frames()
    frames.feed(frame(0x81, 8) + b"\x88")
    assert not frames.closed
    frames.feed(b"\x00")
    assert frames.closed
    assert frames.between_frames


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ShuttingDown("bye"), 1012),
        (Evicted("gone"), 1012),
        (LoadFailed("later"), 1013),
        (WorkerDied("ö" * 200), 1011),
    ],
)
def test_close_frame_tells_of_the_error(error: ServeError, code: int) -> None:
    sent = close_frame(error)
    assert sent[0] == 0x88
    assert sent[1] == len(sent) - 2 <= 125
    assert int.from_bytes(sent[2:4]) == code
    assert error.message.startswith(sent[4:].decode())
