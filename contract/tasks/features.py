"""features: a picture as vectors, one for the whole and one for each patch, for search, clustering and other models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from contract.arrays import Array
from contract.errors import InvalidField
from contract.tasks import Task
from contract.tasks.vision import VisionItem, VisionRequest, VisionResponse


class FeaturesRequest(VisionRequest):
    """`pooled`: the vector of the whole picture; `patches`: the grid of its parts.

    `layers` names hidden layers whose vectors are wanted as well: 0 is what goes into the first block, 1 what comes
    out of it, -1 the last one. `normalize` scales every vector to length one.
    """

    pooled: bool = True
    patches: bool = False
    layers: list[int] | None = Field(None, min_length=1, max_length=64)
    normalize: bool = False
    encoding_format: Literal["float", "base64"] = "float"

    @model_validator(mode="after")
    def _asks_for_something(self) -> FeaturesRequest:
        if not (self.pooled or self.patches):
            raise InvalidField("Ask for `pooled`, for `patches`, or for both.", param="pooled")
        return self


class Patches(BaseModel):
    """A vector for each patch: (rows, columns, dimensions)."""

    shape: tuple[int, int, int]
    data: Array


class Layer(BaseModel):
    """One hidden layer's vectors."""

    layer: int
    pooled: Array | None = None
    patches: Patches | None = None


class FeaturesItem(VisionItem):
    """Arrays are float32: lists of numbers, or base64 of little-endian values if the request asked for that."""

    dimensions: int
    pooled: Array | None = None
    patches: Patches | None = None
    layers: list[Layer] | None = None


class FeaturesResponse(VisionResponse):
    data: list[FeaturesItem]


FEATURES = Task("features", "/v1/vision/features", FeaturesRequest, FeaturesResponse)
