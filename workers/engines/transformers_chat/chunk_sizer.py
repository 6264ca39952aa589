"""Chooses how much of a prompt is read between two decode steps, so that running requests pause only briefly."""

from __future__ import annotations

import sys

PAUSE = 3.0
"""The longest pause of running requests for a chunk of another prompt, in decode steps."""
SHORTEST = 32
"""The smallest chunk, in columns: overhead would take most of the time of an even smaller one."""
_SMOOTHING = 0.3
"""Weight of the newest measurement in the moving averages."""


class ChunkSizer:
    """Derives the chunk size from measured steps and chunks. `longest` is the largest, in columns; 0 reads whole."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._step = 0.0  # seconds
        self._column = 0.0  # seconds for each column of a chunk, not counting the time of a step

    def size(self, *, is_decoding: bool) -> int:
        """The number of columns to read in the next chunk."""
        if not self._longest:
            return sys.maxsize
        if not (is_decoding and self._step and self._column):
            return self._longest
        return min(self._longest, max(SHORTEST, int((PAUSE - 1) * self._step / self._column)))

    def note_step(self, seconds: float) -> None:
        """Record the time of a decode step."""
        self._step = _smooth(self._step, seconds)

    def note_chunk(self, columns: int, seconds: float) -> None:
        """Record the time of a chunk, which is the time of a step plus some time for each column."""
        self._column = _smooth(self._column, max(seconds - self._step, 1e-9) / columns)


def _smooth(mean: float, newest: float) -> float:
    return newest if not mean else (1 - _SMOOTHING) * mean + _SMOOTHING * newest
