"""Fields of responses that JSON omits when they are None."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field

T = TypeVar("T")


def _is_none(value: Any) -> bool:
    return value is None


Omittable = Annotated[T | None, Field(exclude_if=_is_none)]
"""`Omittable[X]` is an X, or None, in which case JSON omits it. OpenAI's client sums deltas and fails on null."""
