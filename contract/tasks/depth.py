"""depth: how far away everything in a picture is, pixel by pixel."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from contract.arrays import Array
from contract.tasks import Task
from contract.tasks.vision import VisionItem, VisionRequest, VisionResponse


class Intrinsics(BaseModel):
    """A pinhole camera in pixels of the upright picture: focal lengths and principal point."""

    fx: float = Field(gt=0, allow_inf_nan=False)
    fy: float = Field(gt=0, allow_inf_nan=False)
    cx: float = Field(allow_inf_nan=False)
    cy: float = Field(allow_inf_nan=False)


class DepthParameters(VisionRequest):
    """What depth and pointcloud share.

    `max_depth` is the far end of a metric model's range in metres, for pictures of another scale than it was trained
    on. `model_input_size` is the shorter side, in pixels, at which the model sees the picture (rounded to its patches).
    `confidence` asks for the model's own, where it has one. `camera_intrinsics` make metres of what models tell in
    focal lengths (Depth Anything 3 Metric). With `encoding_format` `float`, numbers come as lists, for reading by eye.
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
    """`format`: `float32` values, `png16` (16-bit grey, with `scale` in its metadata), or a coloured `preview`."""

    format: Literal["float32", "png16", "preview"] = "float32"


class DepthMap(BaseModel):
    """Depth of every pixel, as `format` says: base64 of little-endian float32 in C order, or of a PNG file.

    In a `png16`, depth = value x `scale` + `offset`; a preview is near in warm and far in cold colours.
    """

    format: Literal["float32", "png16", "preview"]
    shape: tuple[int, int]
    scale: float | None = None
    offset: float | None = None
    data: Array


class Confidence(BaseModel):
    """How sure the model is of every pixel's depth; higher is surer."""

    shape: tuple[int, int]
    data: Array


class DepthItem(VisionItem):
    """How far away everything is, along the camera's axis.

    `kind` is `depth` (larger is farther) or `disparity` (one over depth: larger is nearer). `unit` is `metre`, or
    `relative`: up to a scale that nobody knows, and with disparity an offset too. `min` and `max` are in that unit.
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


DEPTH = Task("depth", "/v1/vision/depth", DepthRequest, DepthResponse)
