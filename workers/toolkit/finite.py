"""Finds results that are not numbers: with damaged weights or too small a dtype, models compute NaN or infinity."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel

from contract.arrays import Array
from contract.errors import EngineFailed


def is_finite(value: Any) -> bool:
    """Whether a value has no NaN and no infinity: a number, numpy array, tensor, Array, or model or list of these."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, BaseModel):
        return all(is_finite(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, list | tuple):
        return all(map(is_finite, value))
    if isinstance(value, Array):
        return value.dtype != "float32" or _all_finite(value.data.cast("f") if value.data.nbytes else [])
    if hasattr(value, "isfinite"):  # a tensor, checked on its device
        return bool(value.isfinite().all())
    return not hasattr(value, "dtype") or _all_finite(value)


def not_finite(model: str, what: str, index: int) -> EngineFailed:
    """The error for an input (`what`: image or text) of which the model computed NaN or infinity."""
    return EngineFailed(
        f"{model} computed values that are not numbers (NaN or infinity) for {what} {index}. Set another `dtype` in "
        "the model's entry, or download its weights again.",
        details={"index": index},
    )


def not_finite_scores(model: str, dtype: object) -> EngineFailed:
    """The error for an answer whose next token has scores of NaN or infinity."""
    precision = str(dtype).rpartition(".")[2]
    return EngineFailed(
        f"{model} computed scores that are not numbers (NaN or infinity), so it has no next token. A likely cause is "
        f"its `dtype`, {precision}: set another one in the model's entry, such as bfloat16 or float32, or download its "
        "weights again.",
        details={"dtype": precision},
    )


def _all_finite(values: Any) -> bool:
    import numpy as np

    return bool(np.isfinite(np.asarray(values)).all())
