"""The text of a recording: whole, as events of a stream, or as subtitles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from contract.lazy_model import LazyModel
from contract.omittable import Omittable
from contract.tasks import EncodedResponse, Response


class TranscriptSegment(LazyModel):
    """A part of the text, with its times in seconds.

    `avg_logprob` is the mean log-probability of its tokens, `compression_ratio` how well its text compresses (above 2.4
    it probably repeats itself), `no_speech_prob` the probability that the window of audio it is from has no speech.
    """

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class TranscriptWord(LazyModel):
    """A word, with its times in seconds."""

    word: str
    start: float
    end: float


class DurationUsage(LazyModel):
    """Seconds of audio."""

    type: Literal["duration"] = "duration"
    seconds: float


class TranscriptionResponse(Response):
    """`task`, `language`, `duration` and `segments` belong to `verbose_json`."""

    task: Omittable[str] = None
    language: Omittable[str] = None
    duration: Omittable[float] = None
    text: str
    segments: Omittable[list[TranscriptSegment]] = None
    words: Omittable[list[TranscriptWord]] = None
    usage: DurationUsage


class TranscriptionEvent(Response):
    """`transcript.text.delta` has the next piece of the text, and `transcript.text.done` all of it.

    Neither has a `usage`: in a stream, OpenAI's clients read tokens there, and not seconds.
    """

    type: Literal["transcript.text.delta", "transcript.text.done"]
    delta: Omittable[str] = None
    text: Omittable[str] = None
    whole: TranscriptionResponse | EncodedResponse | None = Field(None, exclude=True)
    """In the last event: the answer for clients that do not stream."""


def fold(events: Iterable[TranscriptionEvent]) -> TranscriptionResponse | EncodedResponse:
    """The whole answer that the events end with."""
    whole = [event.whole for event in events if event.whole]
    assert whole, "the last event has the answer"
    return whole[-1]


def as_plain_text(text: str) -> EncodedResponse:
    """The text alone, with a line break at its end."""
    return EncodedResponse(media_type="text/plain; charset=utf-8", content=f"{text}\n".encode())


def as_srt(segments: Sequence[TranscriptSegment]) -> EncodedResponse:
    """Subtitles in the SubRip format."""
    blocks = (
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{_cue_text(segment)}\n\n"
        for number, segment in enumerate(segments, 1)
    )
    return EncodedResponse(media_type="text/plain; charset=utf-8", content="".join(blocks).encode())


def as_vtt(segments: Sequence[TranscriptSegment]) -> EncodedResponse:
    """Subtitles in the WebVTT format (www.w3.org/TR/webvtt1)."""
    blocks = (
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{_cue_text(segment)}\n\n" for segment in segments
    )
    return EncodedResponse(media_type="text/vtt; charset=utf-8", content=("WEBVTT\n\n" + "".join(blocks)).encode())


def _cue_text(segment: TranscriptSegment) -> str:
    """A segment's text: an arrow or an empty line would end the cue."""
    lines = (line.strip() for line in segment.text.replace("-->", "->").splitlines())
    return "\n".join(line for line in lines if line)


def _clock(seconds: float, point: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
