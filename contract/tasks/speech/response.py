"""Speech as a file, which is sent in pieces, or as events of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from contract.lazy_model import LazyModel
from contract.omittable import Omittable
from contract.tasks import EncodedResponse, Response

MEDIA_TYPES: Mapping[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""The media type of each `response_format`."""


class SpeechUsage(LazyModel):
    """Tokens that the model read, and the frames of sound that it made."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class SpeechEvent(Response):
    """`speech.audio.delta` has the next piece of the file in base64; `speech.audio.done` is the last event."""

    type: Literal["speech.audio.delta", "speech.audio.done"]
    audio: Omittable[str] = None
    usage: Omittable[SpeechUsage] = None


def fold(pieces: Iterable[EncodedResponse]) -> EncodedResponse:
    """The whole file."""
    parts = list(pieces)
    return EncodedResponse(media_type=parts[0].media_type, content=b"".join(part.content for part in parts))
