"""depth: estimates the distance from the camera of every pixel of an image."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.arrays import Array
from contract.lazy_model import LazyModel
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.vision import VisionItem, VisionRequest, VisionResponse


class Intrinsics(LazyModel):
    """A pinhole camera: focal lengths and principal point, in pixels of the upright image."""

    fx: float = Field(gt=0, allow_inf_nan=False)
    fy: float = Field(gt=0, allow_inf_nan=False)
    cx: float = Field(allow_inf_nan=False)
    cy: float = Field(allow_inf_nan=False)


class DepthParameters(VisionRequest):
    """The fields that depth and pointcloud share.

    `max_depth` is the upper end of a metric model's range in metres, for images of a different scale than it was
    trained on. `model_input_size` is the shorter side, in pixels, of the image that the model gets (rounded to its
    patch size); that image may have up to 4 million pixels (ZoeDepth: 1 million). `confidence` asks for the model's
    confidence, if it has one. `camera_intrinsics` convert the output of models that predict depth in focal lengths
    (Depth Anything 3 Metric) to metres. `encoding_format` `float` returns numbers as readable lists.
    """

    max_depth: float | None = Field(None, gt=0, allow_inf_nan=False)
    model_input_size: int | None = Field(None, ge=14, le=4096)
    confidence: bool | None = None
    camera_intrinsics: Intrinsics | None = None
    encoding_format: Literal["float", "base64"] = "base64"

    def required_features(self) -> frozenset[str]:
        needs = {"max_depth"} if self.max_depth is not None else set()
        return frozenset(needs | ({"confidence"} if self.confidence else set()))


class DepthRequest(DepthParameters):
    """`format`: `float32` values, `png16` (16-bit greyscale, `scale` in its metadata), or a coloured `preview`."""

    format: Literal["float32", "png16", "preview"] = "float32"


class DepthMap(LazyModel):
    """The depth of every pixel, (height, width): base64 of little-endian float32 in C order, or of a PNG file.

    In a `png16`, depth = value x `scale` + `offset`. In a preview, warm colours are near and cold colours far.
    """

    format: Literal["float32", "png16", "preview"]
    shape: tuple[int, int]
    scale: float | None = None
    offset: float | None = None
    data: Array


class Confidence(LazyModel):
    """The model's confidence in every pixel's depth, (height, width); higher is more confident."""

    shape: tuple[int, int]
    data: Array


class DepthItem(VisionItem):
    """The depth of one image, measured along the camera's optical axis.

    `kind` is `depth` (larger is farther) or `disparity` (1 / depth: larger is nearer). `unit` is `metre`, or `relative`
    for values with an unknown scale and, for disparity, an unknown offset. `min` and `max` are in that unit.
    """

    kind: Literal["depth", "disparity"]
    unit: Literal["relative", "metre"]
    min: float
    max: float
    depth: DepthMap
    confidence: Confidence | None = None
    camera_intrinsics: Intrinsics | None = None


class DepthResponse(VisionResponse):
    data: list[DepthItem]


DEPTH = Task(
    "depth",
    "/v1/vision/depth",
    DepthRequest,
    DepthResponse,
    array_metadata=("kind", "unit", "scale", "offset"),
    example={"image": SAMPLE_IMAGE, "format": "png16"},
)
