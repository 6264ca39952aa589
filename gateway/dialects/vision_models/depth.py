"""Depth Anything: the depth of each image, as a PNG, base64 of float32, or rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from contract.arrays import Array
from contract.known_fields import FieldTable, ignored
from contract.lazy_model import LazyModel
from contract.omittable import Omittable
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks.depth import DEPTH, DepthItem, Intrinsics
from gateway.dialects.dialect import DialectRoute, TaskAnswer, TaskQuery
from gateway.dialects.vision_models.request import (
    FIELDS,
    VisionModelRequest,
    VisionModelResponse,
    query,
    shared_fields,
)
from gateway.forwarding.model_table import ModelTable

_FORMS: dict[str, dict[str, Any]] = {
    "png": {"format": "png16"},
    "float32": {"format": "float32", "encoding_format": "base64"},
    "list": {"format": "float32", "encoding_format": "float"},
}
_NAMES = {"png": "png_base64", "float32": "float32_base64", "list": "list"}


class DepthAnythingRequest(VisionModelRequest):
    """`depth_format`: `png` (16 bits, greyscale), `float32` (base64), or `list` (rows of numbers)."""

    known_fields: ClassVar[FieldTable] = ignored(
        "the vision models server",
        "export_format",
        also=("glb",),
        hint="The answer is a depth map; POST /v1/vision/pointcloud makes PLY and npz files.",
    )

    export_format: Literal["glb", "npz", "ply", "gs_ply", "gs_video"] = "glb"
    depth_format: Literal["png", "float32", "list"] = "png"


class DepthMetadata(LazyModel):
    """`shape` is (images, height, width), of the first image's height and width.

    In a PNG, depth = value x `scale` + `offset`. `intrinsics` has a 3x3 matrix for each image, if the model knows them.
    """

    shape: tuple[int, int, int]
    kind: str
    unit: str
    min: float
    max: float
    scale: Omittable[float] = None
    offset: Omittable[float] = None
    intrinsics: Omittable[list[list[list[float]]]] = None


class DepthOfImage(LazyModel):
    """The depth of one of several images."""

    depth_data: Array
    metadata: DepthMetadata


class DepthAnythingResponse(VisionModelResponse):
    """`depth_data` is the first image's depth; with several images, `results` has the depth of each."""

    depth_data: Array
    format: Literal["png_base64", "float32_base64", "list"]
    metadata: DepthMetadata
    results: Omittable[list[DepthOfImage]] = None


def to_depth(request: DepthAnythingRequest, models: ModelTable) -> Sequence[TaskQuery]:
    """One request for all images."""
    return [query(DEPTH, request, "depth_anything", models, **_FORMS[request.depth_format])]


def from_depth(request: DepthAnythingRequest, answers: Sequence[TaskAnswer]) -> DepthAnythingResponse:
    """The depth of the first image, and of each if there are several."""
    items: list[DepthItem] = answers[0].response.data
    results = [DepthOfImage(depth_data=item.depth.data, metadata=_metadata([item])) for item in items]
    return DepthAnythingResponse(
        depth_data=items[0].depth.data,
        format=_NAMES[request.depth_format],
        metadata=_metadata(items),
        results=results if len(items) > 1 else None,
        **shared_fields(answers[0]),
    )


def _metadata(items: Sequence[DepthItem]) -> DepthMetadata:
    """The metadata of images, of which the first one's depth is described."""
    first = items[0]
    known = [_matrix(item.camera_intrinsics) for item in items if item.camera_intrinsics]
    return DepthMetadata(
        shape=(len(items), *first.depth.shape),
        kind=first.kind,
        unit=first.unit,
        min=first.min,
        max=first.max,
        scale=first.depth.scale,
        offset=first.depth.offset,
        intrinsics=known if len(known) == len(items) else None,
    )


def _matrix(camera: Intrinsics) -> list[list[float]]:
    return [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]]


DEPTH_ROUTE = DialectRoute(
    "/inference/depth-anything",
    "Depth estimation with Depth Anything",
    DepthAnythingRequest,
    DepthAnythingResponse,
    to_depth,
    from_depth,
    (DEPTH,),
    {"images": [SAMPLE_IMAGE], "export_format": "glb"},
    {
        "depth_data": "…",
        "format": "png_base64",
        "metadata": {"shape": [1, 48, 64], "kind": "depth", "unit": "metre", "min": 0.5, "max": 3.2},
        "model_id": "depth-anything/DA3-BASE",
        "model": "depth-anything-v3",
        "processing_time": 0.8,
    },
    FIELDS,
)
