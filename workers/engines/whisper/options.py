"""An entry's options for Whisper."""

from __future__ import annotations

from pydantic import Field

from workers.toolkit.pretrained import TorchOptions


class WhisperOptions(TorchOptions):
    """`batch_size` is the maximum number of windows, of 30 seconds each, that are read at once. `max_minutes` limits a
    recording. `fallback_temperatures` are tried one after another where a text comes out badly (an empty list: none).
    """

    batch_size: int = Field(8, ge=1)
    max_minutes: float = Field(240, gt=0)
    fallback_temperatures: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
