"""What the house may hand out of a device: pure arithmetic over a reading, in bytes."""

from __future__ import annotations

from manager.memory import Reading


def foreign(reading: Reading, own: int) -> int:
    """What others hold: all that is used, less what our workers were measured to hold."""
    return min(max(reading.used - own, 0), reading.total)


def at_best(total: int, margin: int, ceiling: int | None = None) -> int:
    """What could be handed out if nobody else held anything: the measure for what can never fit."""
    return max(0, min(total - margin, total if ceiling is None else ceiling))


def budget(reading: Reading, own: int, margin: int, ceiling: int | None = None) -> int:
    """What our workers may hold in all now, those that run included.

    The margin is never handed out, and neither is what foreign processes hold; `ceiling` is the user's own limit.
    """
    free_of_others = reading.total - margin - foreign(reading, own)
    return max(0, min(free_of_others, at_best(reading.total, margin, ceiling)))
