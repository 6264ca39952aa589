"""Writes sound as a file of a common format, piece by piece, while it is made.

PyAV brings FFmpeg's encoders. A file in pieces cannot say at its beginning how long it is.
"""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np

PCM_RATE = 24_000
"""Samples a second of sound without a header, as OpenAI's API has them."""
_FORMATS: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp3": ("mp3", "libmp3lame", {"write_xing": "0"}),  # its length, which would have to be written afterwards
    "opus": ("ogg", "libopus", {"page_duration": "200000"}),  # microseconds; a page is sent as a whole
    "aac": ("adts", "aac", {}),
    "flac": ("flac", "flac", {}),
    "wav": ("wav", "pcm_s16le", {}),
    "pcm": ("s16le", "pcm_s16le", {}),
}
"""FFmpeg's container, its encoder, and the container's options for each `response_format`."""
_RATES = frozenset({8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000})
"""Samples a second that the encoders of MP3 and AAC know; sound of another rate gets PCM's."""


class _Pipe(io.RawIOBase):
    """A file that can only be written: what was written is taken away piece by piece."""

    def __init__(self) -> None:
        self._content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._content += content
        return len(content)

    def take(self) -> bytes:
        content, self._content = bytes(self._content), bytearray()
        return content


class AudioWriter:
    """A file with one channel. `is_whole`: it is written at once, so that its header can say how long it is."""

    def __init__(self, name: str, sample_rate: int, *, is_whole: bool) -> None:
        container, codec, options = _FORMATS[name]
        self._rate = sample_rate
        self._file: io.BytesIO | _Pipe = io.BytesIO() if is_whole else _Pipe()
        self._output: Any = av.open(self._file, "w", format=container, options={} if is_whole else options)
        self._stream: Any = self._output.add_stream(codec, rate=_rate(name, sample_rate), layout="mono")
        self._resampler: Any = None

    def write(self, samples: Any) -> bytes:
        """Add samples (float32 numbers from -1 to 1, of shape (samples,)). Returns what there is of the file since."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32)[None], format="flt", layout="mono")
        frame.sample_rate = self._rate
        self._encode(frame)
        return self._taken()

    def end(self) -> bytes:
        """Complete the file. Returns the rest of it."""
        self._encode(None)
        self._output.mux(self._stream.encode(None))
        self._output.close()
        return self._file.getvalue() if isinstance(self._file, io.BytesIO) else self._file.take()

    def _encode(self, frame: Any) -> None:
        codec = self._stream.codec_context
        if self._resampler is None:
            self._resampler = av.AudioResampler(
                format=codec.format, layout="mono", rate=codec.sample_rate, frame_size=codec.frame_size
            )
        for part in self._resampler.resample(frame):
            self._output.mux(self._stream.encode(part))

    def _taken(self) -> bytes:
        return b"" if isinstance(self._file, io.BytesIO) else self._file.take()


def _rate(name: str, sample_rate: int) -> int:
    """Samples a second of the file; Opus knows few rates, of which 24,000 is that of most voices."""
    if name in {"pcm", "opus"}:
        return PCM_RATE
    return sample_rate if sample_rate in _RATES or name in {"wav", "flac"} else PCM_RATE
