"""features: vectors of an image and of its patches, for search, clustering or training other models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from contract.arrays import Array
from contract.errors import InvalidField
from contract.lazy_model import LazyModel
from contract.limits import Items
from contract.omittable import Omittable
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.vision import VisionItem, VisionRequest, VisionResponse


class FeaturesRequest(VisionRequest):
    """`pooled` asks for the vector of the whole image, `patches` for the grid of its patches' vectors.

    `tokens` asks for the vectors of all the last layer's tokens: the class token, registers, and patches row by row.
    `layers` lists hidden layers to return as well: 0 is the input of the first block, 1 its output, -1 the last
    block's output. `normalize` scales every vector to length one.
    """

    pooled: bool = True
    patches: bool = False
    tokens: bool = False
    layers: Items[int] | None = Field(None, min_length=1, max_length=64)
    normalize: bool = False
    encoding_format: Literal["float", "base64"] = "float"

    @model_validator(mode="after")
    def _check_outputs(self) -> FeaturesRequest:
        if not (self.pooled or self.patches or self.tokens):
            raise InvalidField("Set `pooled`, `patches` or `tokens` to true.", param="pooled")
        return self


class Patches(LazyModel):
    """One vector per patch: (rows, columns, dimensions)."""

    shape: tuple[int, int, int]
    data: Array


class TokenVectors(LazyModel):
    """One vector for each token of the model's last layer: (tokens, dimensions)."""

    shape: tuple[int, int]
    data: Array


class Layer(LazyModel):
    """One hidden layer's vectors."""

    layer: int
    pooled: Array | None = None
    patches: Patches | None = None


class FeaturesItem(VisionItem):
    """Arrays are float32: lists of numbers, or base64 of the little-endian bytes, as `encoding_format` says."""

    dimensions: int
    pooled: Array | None = None
    patches: Patches | None = None
    tokens: Omittable[TokenVectors] = None
    layers: list[Layer] | None = None


class FeaturesResponse(VisionResponse):
    data: list[FeaturesItem]


FEATURES = Task(
    "features",
    "/v1/vision/features",
    FeaturesRequest,
    FeaturesResponse,
    outputs=("embedding",),
    example={"image": SAMPLE_IMAGE},
)
