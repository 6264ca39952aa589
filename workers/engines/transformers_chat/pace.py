"""How much of a prompt is read between two steps, so that no stream pauses for longer than a few of them."""

from __future__ import annotations

import sys

PAUSE = 3.0
"""Steps that the rows at work may wait for a piece of a newcomer's prompt."""
SHORTEST = 32
"""Columns that are read at once however slow that is: with fewer, most of the time would go into beginning."""
_SMOOTHING = 0.3
"""Weight of the newest measurement in the running means."""


class Pace:
    """Measures steps and pieces. `longest` bounds a piece, in columns; 0: prompts are read whole."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._step = 0.0  # seconds that a step takes
        self._column = 0.0  # seconds that a column of a prompt adds to a step

    def columns(self, *, is_anybody_waiting: bool) -> int:
        """How many columns to read now."""
        if not self._longest:
            return sys.maxsize
        if not (is_anybody_waiting and self._step and self._column):
            return self._longest
        return min(self._longest, max(SHORTEST, int((PAUSE - 1) * self._step / self._column)))

    def stepped(self, seconds: float) -> None:
        """A step of all rows took so long."""
        self._step = _smooth(self._step, seconds)

    def read(self, columns: int, seconds: float) -> None:
        """Reading so many columns took so long: as a step, and something for each column."""
        self._column = _smooth(self._column, max(seconds - self._step, 1e-9) / columns)


def _smooth(mean: float, newest: float) -> float:
    return newest if not mean else (1 - _SMOOTHING) * mean + _SMOOTHING * newest
