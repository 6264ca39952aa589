"""An entry's options for Whisper with MLX."""

from __future__ import annotations

from pydantic import Field

from contract.config.fields import Gigabytes
from workers import engine


class MlxWhisperOptions(engine.Options):
    """`batch_size` is the maximum number of windows, of 30 seconds each, that are read at once. `max_minutes` limits a
    recording. `fallback_temperatures` are tried one after another where a text comes out badly (an empty list: none).
    `buffer_cache_gb` limits the memory, in GiB, that MLX keeps for its next computations.
    """

    batch_size: int = Field(8, ge=1)
    max_minutes: float = Field(240, gt=0)
    fallback_temperatures: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    buffer_cache_gb: Gigabytes = Field(1.0, ge=0)
