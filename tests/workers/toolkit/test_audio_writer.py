"""Sound becomes a file of each format, whole or in pieces, at every rate that voices have."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
import pytest

from contract.tasks.speech import MEDIA_TYPES
from workers.toolkit.audio_reader import AudioReader
from workers.toolkit.speech.audio_writer import PCM_RATE, AudioWriter

SECONDS = 2


def tone(rate: int) -> Any:
    return (np.sin(np.arange(rate * SECONDS) * 2 * np.pi * 440 / rate) * 0.5).astype(np.float32)


def write(name: str, rate: int, *, is_whole: bool) -> list[bytes]:
    """What each half of the tone, and the end, added to the file."""
    writer = AudioWriter(name, rate, is_whole=is_whole)
    return [*(writer.write(half) for half in np.split(tone(rate), 2)), writer.end()]


def read(name: str, content: bytes) -> Any:
    """The samples of a file, at PCM's rate."""
    if name == "pcm":
        return np.frombuffer(content, "<i2").astype(np.float32) / 2**15
    return AudioReader(content, PCM_RATE).window(10 * SECONDS)


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "pieces"])
@pytest.mark.parametrize("rate", [16_000, 22_050, 23_456, 24_000, 44_100])
@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_every_format_holds_the_same_sound(name: str, rate: int, is_whole: bool) -> None:
    samples = read(name, b"".join(write(name, rate, is_whole=is_whole)))
    assert len(samples) / PCM_RATE == pytest.approx(SECONDS, abs=0.15)
    middle = samples[PCM_RATE // 2 : PCM_RATE]
    spectrum = np.abs(np.fft.rfft(middle))
    assert int(spectrum.argmax()) * 2 == pytest.approx(440, abs=4)  # bins of 2 Hz
    assert float(np.abs(middle).max()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_pieces_come_while_the_sound_is_made(name: str) -> None:
    first, second, _ = write(name, 24_000, is_whole=False)
    assert len(first) > 500
    assert len(second) > 500


def test_whole_wav_says_how_long_it_is() -> None:
    content = b"".join(write("wav", 22_050, is_whole=True))
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (22_050 * SECONDS, 22_050, 1)
    assert AudioReader(b"".join(write("mp3", 24_000, is_whole=True)), PCM_RATE).declared == pytest.approx(SECONDS)
