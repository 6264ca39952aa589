"""Chooses how much of a prompt is read between two decode steps, so that streams pause for a few steps at most."""

from __future__ import annotations

import sys

PAUSE = 3.0
"""The longest pause for a chunk of another prompt, in decode steps."""
SHORTEST = 32
"""The smallest chunk, however slow it is: even smaller ones would spend most of their time on overhead."""
_SMOOTHING = 0.3
"""Weight of the newest measurement in the moving averages."""


class ChunkSizer:
    """Measures steps and chunks. `longest` is the largest chunk, in columns; 0 reads prompts whole."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._step = 0.0  # seconds
        self._column = 0.0  # seconds for each column of a chunk, beyond those of a step

    def size(self, *, is_decoding: bool) -> int:
        """The columns to read now."""
        if not self._longest:
            return sys.maxsize
        if not (is_decoding and self._step and self._column):
            return self._longest
        return min(self._longest, max(SHORTEST, int((PAUSE - 1) * self._step / self._column)))

    def note_step(self, seconds: float) -> None:
        """Record the time of a decode step."""
        self._step = _smooth(self._step, seconds)

    def note_chunk(self, columns: int, seconds: float) -> None:
        """Record the time of a chunk: that of a step, and something more for each column."""
        self._column = _smooth(self._column, max(seconds - self._step, 1e-9) / columns)


def _smooth(mean: float, newest: float) -> float:
    return newest if not mean else (1 - _SMOOTHING) * mean + _SMOOTHING * newest
