"""Stops transformers' `generate` for rows whose calls have been cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteriaList

from workers.engine import Call


def stop_when_cancelled(calls: Sequence[Call[Any]]) -> Any:
    """The `stopping_criteria` that end the row of a cancelled call at the next token.

    The batch has one row per call, in their order, or several consecutive ones each with beam search.
    """

    def cancelled(ids: Any, _: Any, **__: Any) -> Any:
        flags = torch.tensor([call.cancelled for call in calls], device=ids.device)
        return flags.repeat_interleave(len(ids) // len(calls))

    return StoppingCriteriaList([cancelled])
