"""Which results count as numbers, in every form in which engines return them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from contract.arrays import Array
from contract.tasks.detect import Detection
from contract.tasks.features import FeaturesItem
from workers.toolkit.finite import is_finite


def array(*values: float) -> Array:
    return Array.from_numpy(np.array(values, np.float32))


def features(*values: float) -> FeaturesItem:
    return FeaturesItem(index=0, width=1, height=1, dimensions=2, pooled=array(*values))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_finds_nan_and_infinity_everywhere(bad: float) -> None:
    import torch

    detection = Detection(label="cat", score=0.5, box=(0, 0, 1, 1)).model_copy(update={"box": (0, 0, bad, 1)})
    values: list[Any] = [bad, [1.0, (2.0, bad)], array(1, bad), features(1, bad), detection, torch.tensor([1, bad])]
    values.append(np.array([1, bad]))
    assert [is_finite(value) for value in values] == [False] * len(values)


@pytest.mark.parametrize("good", [None, 1, 0.0, "nan", [], array(), array(1, 2), features(1, 2), np.zeros(3, np.uint8)])
def test_accepts_everything_else(good: Any) -> None:
    assert is_finite(good)
