"""What a model held in its recent starts, and what its next start may need: pure arithmetic, in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from manager.memory.device import GIB

WINDOW = 8
"""Starts that are remembered for each model: what only older ones held is forgotten."""

MIN_WORK_ROOM = 2 * GIB
"""A start asks for at most its model's own size again for work, or for this much if the model is smaller."""

RAISED_STARTS = 2
"""Starts for which it counts that a worker ran out of memory: its own and the next one."""


@dataclass(slots=True)
class StartRecord:
    """One start of a model. `start` identifies it; 0 means not measured.

    `loaded`: the least that the worker held once it was ready. `peak`: the most that it held while idle, or for a
    request that succeeded. `raised`: what it was expected to need after it ran out of memory. `estimate`: the entry's
    `memory_gb` at that time.
    """

    start: str
    loaded: int = 0
    peak: int = 0
    raised: int = 0
    estimate: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields that have a value."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, fields: Any) -> StartRecord:
        """Raises ValueError if `fields` is not what `to_json` writes."""
        if not isinstance(fields, dict):
            raise ValueError("a start is not an object")
        sizes = {name: fields.get(name, 0) for name in ("loaded", "peak", "raised")}
        if any(type(size) is not int or size < 0 for size in sizes.values()):
            raise ValueError("a start has a value that is not a number of bytes")
        estimate = fields.get("estimate")
        if estimate is not None and not isinstance(estimate, (int, float)):
            raise ValueError("a start has an estimate that is not a number")
        return cls(str(fields.get("start", "")), **sizes, estimate=estimate)


def required(records: Sequence[StartRecord]) -> int:
    """What loading the model takes at least; 0 if that is not known. Work and leaks do not count."""
    return min((record.loaded for record in records if record.loaded), default=0)


def expected(records: Sequence[StartRecord]) -> int:
    """What a start should have: what the model usually comes to hold, with bounded room for work.

    The median of the recent starts' peaks, so that one exceptional request or one leak soon stops to count.
    """
    peaks = sorted(record.peak for record in records if record.peak)
    usual = peaks[len(peaks) // 2] if peaks else 0
    if loaded := max((record.loaded for record in records), default=0):
        usual = min(usual, loaded + max(loaded, MIN_WORK_ROOM))
    return max([usual, *(record.raised for record in records[-RAISED_STARTS:])])
