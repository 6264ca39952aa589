"""An entry's options for Kokoro with MLX."""

from __future__ import annotations

from pydantic import Field

from contract.config.fields import Gigabytes
from workers.toolkit.speech.options import SpeechOptions


class MlxKokoroOptions(SpeechOptions):
    """`voices` gives voices of the model further names, such as `{narrator: bm_george}`, and `default` is the name for
    requests without one. `max_characters` limits a text. `sentence_pause`: seconds of silence between sentences, beside
    those that the model makes itself. `buffer_cache_gb` limits the memory, in GiB, that MLX keeps for its next
    computations.
    """

    sentence_pause: float = Field(0, ge=0, le=5)
    buffer_cache_gb: Gigabytes = Field(1.0, ge=0)
