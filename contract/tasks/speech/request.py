"""What a client may ask of a voice: OpenAI's fields."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from contract.known_fields import FieldTable, honoured, ignored, neutral
from contract.limits import MaxLength, Name, Text
from contract.tasks import Request

MAX_INPUT = 100_000
"""Characters of a text to read aloud: about two hours of speech. Engines have lower limits of their own."""

SpeechFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


def _voice_name(value: Any) -> Any:
    """OpenAI's clients name a voice of their own as `{"id": …}`."""
    return value["id"] if isinstance(value, dict) and value.keys() == {"id"} else value


class SpeechRequest(Request):
    """`input` is the text. `voice` is one of the model's voices (`GET /v1/audio/voices`); without it, its first one.

    `speed`: 0.25 to 4 times as fast; some models do less. `response_format`: `mp3`, `opus` (in Ogg), `aac`, `flac`,
    `wav`, or `pcm`, which is 24,000 samples a second of 16 bits, little-endian, mono, without a header.

    The sound is sent sentence by sentence; with `stream_format: sse` as events, which have it as base64. `seed` makes
    the same speech again. `language` is the text's (such as `de` or `en-gb`), for models that speak several.
    """

    stream_field: ClassVar[str] = "stream_format"
    known_fields: ClassVar[FieldTable] = {
        **honoured("OpenAI", "input voice response_format speed stream_format"),
        **ignored("OpenAI", "instructions", hint="The voices read the text as it is."),
        **honoured("vLLM", "seed", feature="seed", hint="The model's noise cannot be chosen."),
        **honoured("vLLM", "language", feature="language", hint="The model speaks one language."),
        **neutral("Kokoro-FastAPI", "stream", hint="Speech is always sent sentence by sentence."),
    }

    input: Annotated[str, MaxLength(MAX_INPUT)]
    voice: Annotated[Name, BeforeValidator(_voice_name)] | None = None
    response_format: SpeechFormat = "mp3"
    speed: float = Field(1, ge=0.25, le=4)
    stream_format: Literal["audio", "sse"] = "audio"
    instructions: Text | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    language: Name | None = None

    @field_validator("input")
    @classmethod
    def _check_input(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the text is empty: there is nothing to read aloud")
        return value

    @property
    def wants_stream(self) -> bool:
        return self.stream_format == "sse"

    @property
    def wants_pieces(self) -> bool:
        return self.stream_format == "audio"
