"""The base of the parts of chat requests and responses, and types of their fields."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contract.limits import MAX_ITEMS

T = TypeVar("T")


class OpenModel(BaseModel):
    """A part of a request or response; unknown fields are kept."""

    model_config = ConfigDict(extra="allow", serialize_by_alias=True)


def _is_none(value: Any) -> bool:
    return value is None


Omittable = Annotated[T | None, Field(exclude_if=_is_none)]
"""`Omittable[X]` is an X, or None, in which case JSON omits it. OpenAI's client sums deltas and fails on null."""

JsonObject = Annotated[dict[str, Any], Field(max_length=MAX_ITEMS)]
"""Any JSON object, such as a JSON schema. `json_bounds` limits how much is nested in it."""
