"""translation: writes down in English what is said in a recording, like OpenAI's API.

Source: platform.openai.com/docs/api-reference/audio/createTranslation.
"""

from __future__ import annotations

from contract.sample_audio import SAMPLE_AUDIO
from contract.tasks import Task
from contract.tasks.transcription import MEDIA_TYPES, TranscriptionEvent, TranscriptionResponse, fold
from contract.tasks.transcription.request import TranslationRequest

TRANSLATION = Task(
    "translation",
    "/v1/audio/translations",
    TranslationRequest,
    TranscriptionResponse,
    chunk=TranscriptionEvent,
    fold=fold,
    media_types=MEDIA_TYPES,
    inputs=("audio",),
    outputs=("text",),
    example={"file": SAMPLE_AUDIO},
)
