"""Counts what models do until the history takes the counts, and keeps the last starts of workers.

Like the metrics, it belongs to the program and not to one scheduler.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from contract.history import ColdStart

MAX_STARTS = 100
"""Starts that are kept."""
MAX_MODELS = 100
"""Models that are counted by themselves between two points of the history; others count in the sums only."""
_LONGEST = 200
"""Characters of a name, or of an error, that are kept."""


@dataclass(slots=True)
class WorkCounts:
    """What was done in some span of time."""

    requests: int = 0
    failed: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    images: int = 0

    def add(self, other: WorkCounts) -> None:
        """Add the counts of another one."""
        self.requests += other.requests
        self.failed += other.failed
        self.tokens += other.tokens
        self.prompt_tokens += other.prompt_tokens
        self.images += other.images


class RecentWork:
    """The counts since they were taken last, in all and by model, and the last starts."""

    def __init__(self) -> None:
        self.starts: deque[ColdStart] = deque(maxlen=MAX_STARTS)
        self._total = WorkCounts()
        self._models: dict[str, WorkCounts] = {}

    def count(self, model: str, work: WorkCounts) -> None:
        """Add what a model has done."""
        self._total.add(work)
        model = shortened(model) or ""
        if model in self._models or len(self._models) < MAX_MODELS:
            self._models.setdefault(model, WorkCounts()).add(work)

    def count_request(self, model: str, *, succeeded: bool) -> None:
        """Count a request that has ended."""
        self.count(model, WorkCounts(requests=1) if succeeded else WorkCounts(failed=1))

    def add_start(self, start: ColdStart) -> None:
        """Keep a start that has ended, whatever its texts are long."""
        cut = {name: shortened(getattr(start, name)) for name in ("model", "worker", "error")}
        self.starts.append(start.model_copy(update=cut))

    def take(self) -> tuple[WorkCounts, dict[str, WorkCounts]]:
        """The counts since the last time, in all and by model."""
        taken = self._total, self._models
        self._total, self._models = WorkCounts(), {}
        return taken


def shortened(text: str | None) -> str | None:
    """A text of at most 200 characters."""
    return text if text is None or len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


RECENT = RecentWork()
"""That of this program."""
