"""The base of the parts of chat requests and responses, and types of their fields."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from contract.lazy_model import LazyModel
from contract.limits import MAX_ITEMS


class OpenModel(LazyModel):
    """A part of a request or response; unknown fields are kept."""

    model_config = ConfigDict(extra="allow", serialize_by_alias=True)


JsonObject = Annotated[dict[str, Any], Field(max_length=MAX_ITEMS)]
"""Any JSON object, such as a JSON schema. `json_bounds` limits how much is nested in it."""
