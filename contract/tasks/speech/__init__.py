"""speech: reads a text aloud, like OpenAI's API.

Source: platform.openai.com/docs/api-reference/audio/createSpeech.
"""

from __future__ import annotations

from contract.tasks import EncodedResponse, Task
from contract.tasks.speech.request import SpeechRequest
from contract.tasks.speech.response import MEDIA_TYPES, SpeechEvent, SpeechUsage, fold

__all__ = ["MEDIA_TYPES", "SPEECH", "SpeechEvent", "SpeechRequest", "SpeechUsage", "fold"]

SPEECH = Task(
    "speech",
    "/v1/audio/speech",
    SpeechRequest,
    EncodedResponse,
    chunk=SpeechEvent,
    fold=fold,
    media_types=tuple(MEDIA_TYPES.values()),
    inputs=("text",),
    outputs=("audio",),
    title="Text to speech",
    example={"input": "Hello! How are you?", "voice": "default"},
)
