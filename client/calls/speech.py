"""Speech: the text of a recording, and texts read aloud."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from client.call import ApiCall, EventCall, body_of, known_fields, plain


@dataclass(frozen=True, slots=True)
class SpokenSegment:
    """A part of a recording's text, with its times in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word, with its times in seconds."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class SpokenText:
    """What a recording says. `language` is its code, such as `en`; `duration` is in seconds."""

    text: str
    language: str | None = None
    duration: float | None = None
    segments: list[SpokenSegment] = field(default_factory=list)
    words: list[SpokenWord] = field(default_factory=list)


Recording = str | PathLike[str] | bytes
"""A path, or a file's bytes."""


def transcribe(
    recording: Recording,
    *,
    model: str | None = None,
    language: str | None = None,
    prompt: str | None = None,
    words: bool = False,
    **fields: Any,
) -> ApiCall[SpokenText]:
    """The text of a recording, with the times of its segments, and with `words` also of its words."""
    times = ["segment", "word"] if words else None
    body = body_of(language=language, prompt=prompt, timestamp_granularities=times, **fields)
    return _call("/v1/audio/transcriptions", recording, model, body)


def translate_speech(
    recording: Recording, *, model: str | None = None, prompt: str | None = None, **fields: Any
) -> ApiCall[SpokenText]:
    """The text of a recording in English, with the times of its segments."""
    return _call("/v1/audio/translations", recording, model, body_of(prompt=prompt, **fields))


def speak(
    text: str,
    *,
    model: str | None = None,
    voice: str | None = None,
    response_format: str | None = None,
    speed: float | None = None,
    **fields: Any,
) -> ApiCall[bytes]:
    """A text read aloud, as the bytes of a file. `response_format`: mp3 (the default), opus, aac, flac, wav or pcm."""
    body = body_of(model=model, input=text, voice=voice, response_format=response_format, speed=speed, **fields)
    return ApiCall("POST", "/v1/audio/speech", plain, body)


def stream_speech(
    text: str,
    *,
    model: str | None = None,
    voice: str | None = None,
    response_format: str | None = None,
    speed: float | None = None,
    **fields: Any,
) -> EventCall[bytes]:
    """A text read aloud: the pieces of the file, as they are ready."""
    body = body_of(model=model, input=text, voice=voice, response_format=response_format, speed=speed, **fields)
    return EventCall("POST", "/v1/audio/speech", _sound, {**body, "stream_format": "sse"})


def voices(model: str | None = None) -> ApiCall[list[str]]:
    """The names of voices: a model's, or those of every model that speaks."""
    return ApiCall("GET", "/v1/audio/voices", _voice_names, query=body_of(model=model))


def _sound(event: Any) -> bytes | None:
    audio = event.get("audio")
    return base64.b64decode(audio) if audio else None


def _voice_names(document: Any) -> list[str]:
    return [voice["id"] for voice in document["voices"]]


def _call(path: str, recording: Recording, model: str | None, body: Mapping[str, Any]) -> ApiCall[SpokenText]:
    content = recording if isinstance(recording, bytes) else Path(recording).read_bytes()
    file = base64.b64encode(content).decode("ascii")
    values = {**body_of(model=model), "response_format": "verbose_json", "file": file, **body}
    return ApiCall("POST", path, _text, values)


def _text(document: Any) -> SpokenText:
    segments = [known_fields(SpokenSegment, segment) for segment in document.get("segments") or ()]
    words = [known_fields(SpokenWord, word) for word in document.get("words") or ()]
    return known_fields(SpokenText, document, segments=segments, words=words)
