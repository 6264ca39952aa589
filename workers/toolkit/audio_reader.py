"""Decodes recordings, window by window: mono, in one sample rate, as float32 numbers from -1 to 1.

PyAV brings FFmpeg's libraries. Of a recording's hours only the window at work is in memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from contract.errors import InvalidField

_FORMATS = "aac,ac3,aiff,amr,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,wav,w64,wv"
"""FFmpeg's demuxers that read one file. Others, such as playlists, would open further files and addresses."""
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
MIN_RATE, MAX_RATE = 1000, 768_000
"""Samples a second that recordings have."""
_REFUSAL = "Send one file with sound, such as WAV, MP3, M4A, MP4, OGG, FLAC or WebM."


class AudioReader:
    """A recording, of which `window` is the next part. `field` is the request's field that errors name.

    Raises InvalidField, here and while it is read, if the file is no recording, is damaged, or has no sound.
    """

    def __init__(self, content: bytes, sample_rate: int, field: str = "file") -> None:
        self.sample_rate = sample_rate
        self.position = 0.0
        """Seconds before `window`."""
        self._field = field
        self._buffer: Any = np.zeros(0, np.float32)
        try:
            container: Any = av.open(io.BytesIO(content), options=_OPTIONS)
        except (av.error.FFmpegError, ValueError) as error:
            raise self._refused(f"The file is no recording that can be read ({_reason(error)})") from None
        if not container.streams.audio:
            raise self._refused("The file has no sound")
        self.declared = container.duration / av.time_base if container.duration else None
        """Seconds that the file says it has."""
        self._pieces: Iterator[Any] | None = self._decoded(container)

    @property
    def ended(self) -> bool:
        """Whether everything was read."""
        return not len(self.window(1 / self.sample_rate))

    def window(self, seconds: float) -> Any:
        """The next samples, of shape (samples,): fewer than asked for at the end."""
        count = round(seconds * self.sample_rate)
        pieces = [self._buffer]
        missing = count - len(self._buffer)
        while missing > 0 and self._pieces is not None:
            piece = next(self._pieces, None)
            if piece is None:
                self._pieces = None
            else:
                pieces.append(piece)
                missing -= len(piece)
        self._buffer = np.concatenate(pieces)
        return self._buffer[:count]

    def skip(self, seconds: float) -> None:
        """Go on behind this part of the window, or at its end."""
        count = min(round(seconds * self.sample_rate), len(self._buffer))
        self._buffer = self._buffer[count:].copy()  # a view would keep what was read
        self.position += count / self.sample_rate

    def _decoded(self, container: Any) -> Iterator[Any]:
        """The samples, piece by piece. A file may change its form on the way."""
        resampler, form = None, None
        try:
            for frame in _frames(container):
                if form != (form := self._form(frame)):
                    yield from _resampled(resampler, None)
                    resampler = av.AudioResampler(format="flt", layout="mono", rate=self.sample_rate)
                yield from _resampled(resampler, frame)
            yield from _resampled(resampler, None)
        except av.error.FFmpegError as error:
            raise self._refused(f"The recording is damaged ({_reason(error)})") from None
        finally:
            container.close()

    def _form(self, frame: Any) -> tuple[Any, ...]:
        """What a resampler is made for. Raises InvalidField for a rate with which a small file would become large."""
        if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
            raise self._refused(f"The recording has {frame.sample_rate} samples a second")
        return frame.format.name, frame.layout.name, frame.sample_rate

    def _refused(self, what: str) -> InvalidField:
        return InvalidField(f"{what}. {_REFUSAL}", param=self._field)


def _frames(container: Any) -> Iterator[Any]:
    """What can be decoded of the sound; damaged packets are left out, as players do."""
    for packet in container.demux(audio=0):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _resampled(resampler: Any, frame: Any) -> Iterator[Any]:
    """What comes out for a frame, or, for None, at the end."""
    for resampled in resampler.resample(frame) if resampler else ():
        yield resampled.to_ndarray()[0]


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()
