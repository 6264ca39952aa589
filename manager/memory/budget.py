"""How much of a device may be handed out: pure arithmetic over a reading, in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from manager.memory.device import GIB, Reading


@dataclass(frozen=True, slots=True)
class Ceilings:
    """All that limits the models' memory on one device, in bytes. `pinned`: what pinned models hold, by model."""

    device: str
    kind: str
    total: int
    safety_margin: int
    configured_maximum: int | None
    pinned: Mapping[str, int]
    other_programs: int

    @property
    def attainable(self) -> int:
        """The most that a further model could get if every other program and evictable worker were gone."""
        most = largest_budget(self.total, self.safety_margin, self.configured_maximum)
        return max(0, most - sum(self.pinned.values()))

    def details(self) -> dict[str, Any]:
        """The fields for an error's details."""
        return asdict(self) | {"attainable": self.attainable}

    def __str__(self) -> str:
        """How `attainable` comes about, in GiB."""
        if self.configured_maximum is not None and self.configured_maximum < self.total - self.safety_margin:
            key = "max_ram_gb" if self.kind == "cpu" else "max_gpu_memory_gb"
            parts = [f"{self.configured_maximum / GIB:.2f} GiB (memory.{key})"]
        else:
            parts = [f"{self.total / GIB:.2f} GiB in all"]
            if self.safety_margin:
                parts.append(f"{self.safety_margin / GIB:.2f} GiB of memory.safety_margin_gb")
        parts += [f"{size / GIB:.2f} GiB of the pinned model {model}" for model, size in self.pinned.items()]
        return " less ".join(parts)


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
