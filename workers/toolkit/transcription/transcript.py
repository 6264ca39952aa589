"""The text of one call: what was read of its recording so far, and the events that the client gets."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from contract.errors import InvalidField
from contract.tasks.transcription import (
    DurationUsage,
    TranscriptionEvent,
    TranscriptionResponse,
    TranscriptSegment,
    TranscriptWord,
    as_plain_text,
    as_srt,
    as_vtt,
)
from workers.engine import Call
from workers.toolkit.audio_reader import AudioReader


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment of a window as the model reads it; times are in seconds from the window's start."""

    start: float
    end: float
    text: str
    tokens: Sequence[int]
    avg_logprob: float = 0.0
    temperature: float | None = None  # that of the request, if no other was tried
    words: Sequence[TranscriptWord] = ()


@dataclass(eq=False)
class Transcript:
    """A call at work. `language` is its code, such as `en`, once it is known."""

    call: Call[Any]
    audio: AudioReader
    max_seconds: float
    task: str
    language: str | None = None
    ended: bool = False
    no_speech_prob: float = 0.0
    _text: str = ""
    _segments: list[TranscriptSegment] = field(default_factory=list)
    _words: list[TranscriptWord] = field(default_factory=list)

    @property
    def is_first_window(self) -> bool:
        return self.audio.position == 0

    @property
    def last_word_end(self) -> float:
        """Where the last word so far ends, in seconds; 0 without any."""
        return self._words[-1].end if self._words else 0.0

    def add(self, pieces: Sequence[Piece], seconds: float) -> Iterator[tuple[Call[Any], BaseModel | None]]:
        """Note what the window said, and go on `seconds` later. Yields the events, and None after the last one."""
        delta = "".join(self._note(piece) for piece in pieces)
        delta = delta if self._text else delta.lstrip()
        self._text += delta
        self.audio.skip(seconds)
        if delta:
            yield self.call, TranscriptionEvent(type="transcript.text.delta", delta=delta)
        self.check_length()
        self.ended = self.audio.ended
        position = self.audio.position
        self.call.progress(int(position), max(int(self.audio.declared or position), int(position)))
        if self.ended:
            yield self.call, self._last_event()
            yield self.call, None

    def _note(self, piece: Piece) -> str:
        offset = self.audio.position
        self._segments.append(
            TranscriptSegment(
                id=len(self._segments),
                seek=round(offset * 100),
                start=round(offset + piece.start, 2),
                end=round(offset + piece.end, 2),
                text=piece.text,
                tokens=list(piece.tokens),
                temperature=self.call.request.temperature if piece.temperature is None else piece.temperature,
                avg_logprob=piece.avg_logprob,
                compression_ratio=_compression_ratio(piece.text),
                no_speech_prob=self.no_speech_prob,
            )
        )
        for word in piece.words:
            start, end = round(offset + word.start, 2), round(offset + word.end, 2)
            self._words.append(TranscriptWord(word=word.word, start=start, end=end))
        return piece.text

    def check_length(self) -> None:
        """Raise InvalidField if the recording is, or says that it is, longer than the limit."""
        if max(self.audio.declared or 0, self.audio.position) > self.max_seconds:
            raise InvalidField(
                f"The recording is longer than {self.max_seconds / 60:g} minutes, the `options.max_minutes` of this "
                "model. Split it.",
                param="file",
            )

    def _last_event(self) -> TranscriptionEvent:
        return TranscriptionEvent(type="transcript.text.done", text=self._text, whole=self._whole())

    def _whole(self) -> Any:
        request, usage = self.call.request, DurationUsage(seconds=round(self.audio.position, 2))
        match request.response_format:
            case "text":
                return as_plain_text(self._text)
            case "srt":
                return as_srt(self._segments)
            case "vtt":
                return as_vtt(self._segments)
            case "json":
                return TranscriptionResponse(text=self._text, usage=usage)
        return TranscriptionResponse(
            task=self.task,
            language=self.language,
            duration=usage.seconds,
            text=self._text,
            segments=self._segments if request.wants_segments else None,
            words=self._words if request.wants_words else None,
            usage=usage,
        )


def _compression_ratio(text: str) -> float:
    content = text.encode()
    return len(content) / len(zlib.compress(content))
