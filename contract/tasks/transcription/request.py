"""What a client may ask of a recording: OpenAI's fields."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from contract.audio import AudioInput
from contract.known_fields import FieldTable, honoured, refused
from contract.limits import Items, MaxLength, Name
from contract.tasks import Request

MAX_PROMPT = 4096
"""Characters of a prompt; models read about two hundred tokens of it."""

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class TranslationRequest(Request):
    """`file` is a recording; `prompt` is a text before it, in the style and with the names that the answer shall have.

    `response_format`: `json` has the text alone, `verbose_json` also its segments with their times, `text` is plain,
    `srt` and `vtt` are subtitles. `temperature` (0 to 1): without it, or with 0, a part that comes out badly is read
    again at higher ones. `stream`: the text of each part (up to 30 seconds) as it is ready.
    """

    known_fields: ClassVar[FieldTable] = {
        **honoured("OpenAI", "file prompt temperature"),
        **refused("OpenAI", "response_format", only=FORMATS, hint=f"The formats are {', '.join(FORMATS)}."),
    }

    file: AudioInput
    prompt: Annotated[str, MaxLength(MAX_PROMPT)] | None = None
    response_format: Name = "json"
    temperature: float = Field(0, ge=0, le=1)
    stream: bool = False

    @field_validator("stream")
    @classmethod
    def _check_stream(cls, value: bool, info: Any) -> bool:
        if value and info.data.get("response_format") not in {"json", "text"}:
            raise ValueError("a stream has the text alone: leave `stream` out, or send `response_format: json`")
        return value

    @property
    def wants_segments(self) -> bool:
        """Whether the answer shows the times of segments."""
        return self.response_format in {"srt", "verbose_json", "vtt"}

    @property
    def wants_words(self) -> bool:
        """Whether the answer shows the times of words."""
        return False


class TranscriptionRequest(TranslationRequest):
    """`language` is that of the recording (ISO 639-1, such as `en`); without it, the model recognises it.

    `timestamp_granularities`, with `verbose_json`: `segment` (the default), `word`, or both.
    """

    known_fields: ClassVar[FieldTable] = {
        **TranslationRequest.known_fields,
        **honoured("OpenAI", "language timestamp_granularities"),
        **refused("OpenAI", "include known_speaker_names known_speaker_references"),
        **refused("OpenAI", "chunking_strategy", also=("auto",)),
    }

    language: Name | None = None
    timestamp_granularities: Annotated[Items[Literal["segment", "word"]], BeforeValidator(_as_list)] | None = None

    @field_validator("timestamp_granularities")
    @classmethod
    def _check_granularities(cls, value: list[str] | None, info: Any) -> list[str] | None:
        if value and info.data.get("response_format") != "verbose_json":
            raise ValueError("only `response_format: verbose_json` shows times")
        return value

    @property
    def wants_words(self) -> bool:
        return "word" in (self.timestamp_granularities or ())

    @property
    def wants_segments(self) -> bool:
        return super().wants_segments and (self.timestamp_granularities or ["segment"]) != ["word"]
