"""The base of the parts of chat requests and responses, and types of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field

from contract.lazy_model import LazyModel
from contract.limits import MAX_ITEMS


class OpenModel(LazyModel):
    """A part of a request or response; unknown fields are kept."""

    model_config = ConfigDict(extra="allow", serialize_by_alias=True)


JsonObject = Annotated[dict[str, Any], Field(max_length=MAX_ITEMS)]
"""Any JSON object, such as a JSON schema. `json_bounds` limits how much is nested in it."""


def by_type(tags: Mapping[Any, str]) -> Discriminator:
    """Chooses the member of a union by the `type` of an object: its tag, that of None without one, else `Other`.

    Errors so name what is wrong with that member. Tags with capital letters stay out of the paths of wrong fields.
    """

    def tag_of(value: Any) -> str:
        kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        return tags.get(kind if isinstance(kind, str) else None, "Other")

    return Discriminator(tag_of)
