"""What a measurement is: a function that measures things in turns and compares them with goals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")
SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Setup:
    """How to measure: the folder for files, whether one quick round is enough, and optional peers to compare with."""

    folder: Path
    quick: bool = False
    peers: frozenset[str] = frozenset()

    def rounds(self, thorough: int) -> int:
        """How many rounds to measure; one if quick."""
        return 1 if self.quick else thorough

    def seconds(self, thorough: float) -> float:
        """How long one measurement under load takes."""
        return 0.5 if self.quick else thorough


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit and the measured value. If `value` is None, it could not be measured here, and `why` says why."""

    what: str
    limit: float
    value: float | None
    unit: str = ""
    at_least: bool = False
    why: str = ""

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: f"{SKIPPED}: {self.why}"}[self.met]

    @property
    def wanted(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {_number(self.limit)}{self.unit}"

    @property
    def measured(self) -> str:
        return "–" if self.value is None else f"{_number(self.value)}{self.unit}"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a measurement: a description, a table of values, and the goals."""

    title: str
    text: str
    goals: Sequence[Goal]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=tuple)


Measure = Callable[[Setup], Result]


def in_turns(rounds: int, contestants: Mapping[str, Callable[[], Value]]) -> dict[str, list[Value]]:
    """Measure every contestant once in each round, so that other load on the machine affects all of them."""
    values: dict[str, list[Value]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            values[name].append(measure())
    return values


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
