"""Durations in requests: seconds, or a text such as `5m` or `1h30m`, as Ollama's clients send them."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

FOREVER = -1.0
"""What every negative duration means."""

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")
_LONGEST = 40
"""Characters; more than any duration needs."""


def seconds(text: str) -> float:
    """The seconds in a text: a number, or numbers with units. Negative durations are FOREVER. Raises ValueError."""
    text = text.strip()
    if len(text) <= _LONGEST:
        unsigned = text.removeprefix("-").removeprefix("+")
        parts = _PART.findall(unsigned)
        if parts and "".join(number + unit for number, unit in parts) == unsigned:
            total = sum(float(number) * _UNITS[unit] for number, unit in parts)
            return FOREVER if text.startswith("-") else total
        try:
            return _checked(float(text))
        except ValueError:
            pass
    raise ValueError("must be a number of seconds or a duration such as 30s, 5m or 1h30m; -1 means forever")


def _checked(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite")
    return FOREVER if value < 0 else value


def _read(value: Any) -> Any:
    if isinstance(value, str):
        return seconds(value) if value.strip() else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return _checked(float(value)) if is_number else value


_Written = float | Annotated[str, Field(max_length=_LONGEST)] | None

Duration = Annotated[float | None, BeforeValidator(_read, json_schema_input_type=_Written)]
"""Seconds, or None for an empty text; FOREVER if negative."""
