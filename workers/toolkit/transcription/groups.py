"""Says which requests may share a batch of windows."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any


def window_group(request: Any) -> Hashable:
    """What requests must have in common to share a batch: the settings that count for all its rows."""
    return type(request).__name__, request.temperature, request.prompt, request.wants_words
