"""An entry's options for Kokoro with MLX."""

from __future__ import annotations

from pydantic import Field

from contract.config.fields import Gigabytes
from workers.toolkit.speech.options import SpeechOptions


class MlxKokoroOptions(SpeechOptions):
    """`buffer_cache_gb` limits the memory, in GiB, that MLX keeps for its next computations.

    The model makes silence between sentences itself, so there is no `sentence_pause` unless you set one.
    """

    sentence_pause: float = Field(0, ge=0, le=5)
    buffer_cache_gb: Gigabytes = Field(1.0, ge=0)
