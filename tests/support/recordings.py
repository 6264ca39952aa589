"""Recordings that tests send: tones and noise, in the formats that people have."""

from __future__ import annotations

import io
import wave
from functools import cache
from typing import Any

import av
import numpy as np

RATE = 16_000


def samples(seconds: float, seed: int = 0) -> Any:
    """A tone with noise, as int16 numbers of shape (samples,)."""
    noise = np.random.default_rng(seed).normal(0, 2000, round(seconds * RATE))
    tone = np.sin(np.arange(len(noise)) * 0.05 * (1 + seed)) * 8000
    return (tone + noise).astype("<i2")


@cache
def wav(seconds: float, seed: int = 0) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples(seconds, seed).tobytes())
    return file.getvalue()


@cache
def encoded(container: str, codec: str, seconds: float, rate: int = 48_000, layout: str = "stereo") -> bytes:
    """A file of another format, by FFmpeg's names, such as `mp3` and `libmp3lame`."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples(seconds)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


@cache
def silent_film() -> bytes:
    """An MP4 file with video alone."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream: Any = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 32, 32
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        output.mux(stream.encode(None))
    return file.getvalue()
