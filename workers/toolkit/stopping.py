"""Stops transformers' `generate` for rows whose calls have been cancelled, and sees rows without numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

from workers.engine import Call


def stop_when_cancelled(calls: Sequence[Call[Any]]) -> Any:
    """The `stopping_criteria` that end the row of a cancelled call at the next token.

    The batch has one row per call, in their order, or several consecutive ones each with beam search.
    """

    def cancelled(ids: Any, _: Any, **__: Any) -> Any:
        flags = torch.tensor([call.cancelled for call in calls], device=ids.device)
        return flags.repeat_interleave(len(ids) // len(calls))

    return StoppingCriteriaList([cancelled])


class ScoreWatch:
    """Sees which rows of a batch get scores that are not numbers: `generate` itself goes on with any token.

    Give `processors` to it as its `logits_processor`. Settings such as a minimal length make scores minus infinity.
    """

    def __init__(self, rows: int) -> None:
        self._numbers: Any = torch.ones(rows, dtype=torch.bool)
        self.processors = LogitsProcessorList([self._see])

    @property
    def numbers(self) -> list[bool]:
        """For each row, whether all its scores were numbers so far."""
        return [bool(row) for row in self._numbers]

    def _see(self, _: Any, scores: Any) -> Any:
        broken = scores.isnan().any(-1) | (scores == math.inf).any(-1)  # a flag for each beam of each row
        self._numbers &= ~broken.reshape(len(self._numbers), -1).any(-1).cpu()
        return scores
