"""An entry's options for models that speak."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from workers import engine


class SpeechOptions(engine.Options):
    """`voices` gives voices of the model further names, such as `{alloy: af_heart}`; `default` is the name for requests
    without one. `max_characters` limits a text. `sentence_pause`: seconds of silence between two sentences.
    """

    voices: Mapping[str, str] = {}
    max_characters: int = Field(20_000, ge=1)
    sentence_pause: float = Field(0.2, ge=0, le=5)
