"""transcription: writes down what is said in a recording, like OpenAI's API.

Source: platform.openai.com/docs/api-reference/audio/createTranscription.
"""

from __future__ import annotations

from contract.sample_audio import SAMPLE_AUDIO
from contract.tasks import Task
from contract.tasks.transcription.request import TranscriptionRequest
from contract.tasks.transcription.response import (
    DurationUsage,
    TranscriptionEvent,
    TranscriptionResponse,
    TranscriptSegment,
    TranscriptWord,
    as_plain_text,
    as_srt,
    as_vtt,
    fold,
)

__all__ = [
    "TRANSCRIPTION",
    "DurationUsage",
    "TranscriptSegment",
    "TranscriptWord",
    "TranscriptionEvent",
    "TranscriptionRequest",
    "TranscriptionResponse",
    "as_plain_text",
    "as_srt",
    "as_vtt",
    "fold",
]

MEDIA_TYPES = ("text/plain", "text/vtt")

TRANSCRIPTION = Task(
    "transcription",
    "/v1/audio/transcriptions",
    TranscriptionRequest,
    TranscriptionResponse,
    chunk=TranscriptionEvent,
    fold=fold,
    media_types=MEDIA_TYPES,
    inputs=("audio",),
    outputs=("text",),
    example={"file": SAMPLE_AUDIO},
)
