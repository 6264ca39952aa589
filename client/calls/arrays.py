"""Arrays in answers, from base64 to numpy."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]


def floats(text: str, shape: Sequence[int]) -> Numbers:
    """Little-endian float32 values in C order."""
    return _array(text, "<f4", shape)


def bytes_of(text: str, shape: Sequence[int]) -> Numbers:
    """Values of uint8 in C order."""
    return _array(text, "|u1", shape)


def _array(text: str, dtype: str, shape: Sequence[int]) -> Numbers:
    array: Numbers = np.frombuffer(base64.b64decode(text), dtype).reshape(tuple(shape)).copy()
    return array
