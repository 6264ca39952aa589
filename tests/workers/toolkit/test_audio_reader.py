"""Recordings are decoded window by window, whatever a file makes of its rates, and small files stay small."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from contract.errors import InvalidField
from tests.support.recordings import encoded, samples, wav
from workers.toolkit.audio_reader import AudioReader

RATE = 16_000


def read(content: bytes, window: float = 1.0) -> Any:
    """All samples, in windows of some seconds."""
    reader, windows = AudioReader(content, RATE), []
    while not reader.ended:
        windows.append(reader.window(window).copy())
        reader.skip(window)
    return np.concatenate(windows)


def with_rate(rate: int) -> bytes:
    """A WAV file that says it has this many samples a second."""
    content = bytearray(wav(1))
    content[24:28] = struct.pack("<I", rate)
    return bytes(content)


@pytest.mark.parametrize("window", [0.1, 1.0, 30.0])
def test_windows_together_are_the_recording(window: float) -> None:
    assert np.array_equal(read(wav(3), window), samples(3).astype(np.float32) / 2**15)


def test_window_can_be_read_again_from_within() -> None:
    reader = AudioReader(wav(3), RATE)
    first = reader.window(2).copy()
    reader.skip(0.5)
    assert reader.position == 0.5
    assert np.array_equal(reader.window(1), first[RATE // 2 :][:RATE])


def test_recording_of_two_rates_is_read_to_its_end() -> None:
    content = encoded("mp3", "libmp3lame", 2, rate=48_000) + encoded("mp3", "libmp3lame", 3, rate=22_050, layout="mono")
    assert len(read(content)) / RATE == pytest.approx(5, abs=0.3)


@pytest.mark.parametrize("rate", [1, 999, 10**6])
def test_rates_that_no_recording_has_are_refused(rate: int) -> None:
    with pytest.raises(InvalidField, match=f"{rate} samples a second"):
        read(with_rate(rate))


def test_damaged_packets_are_left_out() -> None:
    content = bytearray(encoded("mp3", "libmp3lame", 3))
    content[len(content) // 2 : len(content) // 2 + 2000] = b"\xff" * 2000
    assert len(read(bytes(content))) / RATE == pytest.approx(3, abs=0.5)


def test_damaged_files_are_read_or_refused() -> None:
    sources = [encoded("mp3", "libmp3lame", 1), encoded("ogg", "libopus", 1), encoded("flac", "flac", 1), wav(1)]
    chance = random.Random(1)
    read_whole = 0
    for _ in range(200):
        content = bytearray(chance.choice(sources))
        for _ in range(chance.choice([1, 10, 100])):
            content[chance.randrange(chance.choice([64, len(content)]))] = chance.randrange(256)
        with suppress(InvalidField):
            AudioReader(bytes(content), RATE).window(600)
            read_whole += 1
    assert 20 < read_whole < 200
