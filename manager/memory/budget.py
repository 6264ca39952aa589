"""How much of a device may be handed out: pure arithmetic over a reading, in bytes."""

from __future__ import annotations

from manager.memory.device import Reading


def used_by_others(reading: Reading, own: int) -> int:
    """Memory in use by other programs: all that is used, less what our workers were measured to hold."""
    return min(max(reading.used - own, 0), reading.total)


def largest_budget(total: int, margin: int, ceiling: int | None = None) -> int:
    """The budget if no other program used any memory. A model that needs more can never fit."""
    return max(0, min(total - margin, total if ceiling is None else ceiling))


def budget(reading: Reading, own: int, margin: int, ceiling: int | None = None) -> int:
    """The bytes that all our workers together may hold now, running ones included.

    Neither the safety margin nor memory used by other programs is handed out. `ceiling` is the user's own limit.
    """
    unclaimed = reading.total - margin - used_by_others(reading, own)
    return max(0, min(unclaimed, largest_budget(reading.total, margin, ceiling)))
