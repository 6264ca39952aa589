"""What engines share that let transformers' `generate` write: rows whose clients have left come to an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import StoppingCriteriaList

from workers.engine import Call


def stop_when_cancelled(calls: Sequence[Call[Any]]) -> Any:
    """The `stopping_criteria` that end the row of a call between two tokens once its client has left.

    There is a row for each call, in their order, or several of each where the model searches with beams.
    """

    def left(ids: Any, _: Any, **__: Any) -> Any:
        over = torch.tensor([call.cancelled for call in calls], device=ids.device)
        return over.repeat_interleave(len(ids) // len(calls))

    return StoppingCriteriaList([left])
