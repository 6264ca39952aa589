"""The API of a Depth Anything V2 server: metric depth, depth up to 1.0, and point clouds, as raw float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from contract.arrays import Array
from contract.media import ImageInput
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks.depth import DEPTH, DepthRequest, Intrinsics
from contract.tasks.pointcloud import POINTCLOUD, PointcloudRequest
from gateway.dialects.dialect import (
    ApiDialect,
    DialectRequest,
    DialectResponse,
    DialectRoute,
    TaskAnswer,
    TaskQuery,
)
from gateway.forwarding.model_table import ModelTable


class RelativeDepthRequest(DialectRequest):
    """`encoder` and `dataset` choose a metric checkpoint: of that size, and trained indoors or outdoors.

    `model_input_size` is the shorter side in pixels of the image that the model gets.
    """

    image: ImageInput
    encoder: Literal["vits", "vitb", "vitl"] = "vitl"
    dataset: Literal["hypersim", "vkitti"] = "hypersim"
    model_input_size: int = Field(518, ge=14, le=4096)


class MetricDepthRequest(RelativeDepthRequest):
    """`max_depth` is the depth that the model's largest output becomes, in metres."""

    max_depth: float = Field(1.0, gt=0, allow_inf_nan=False)


class PointsFromDepthRequest(MetricDepthRequest):
    """`camera_intrinsics` are in pixels of the upright image."""

    camera_intrinsics: Intrinsics


class DepthMapResponse(DialectResponse):
    """`depth_map` is base64 of little-endian float32 in C order, of the `shape` [height, width]."""

    depth_map: Array
    shape: tuple[int, int]
    min: float
    max: float


class PointsFromDepthResponse(DialectResponse):
    """Points [x, y, z] and depth: base64 of little-endian float32 in C order. `min` and `max` are the depth's."""

    pointcloud: Array
    pointcloud_shape: tuple[int, int]
    depth_map: Array
    depth_shape: tuple[int, int]
    min: float
    max: float


def _checkpoint(request: RelativeDepthRequest, models: ModelTable) -> str:
    """The id of the model for an encoder and a dataset. Raises ModelNotFound, which names the entry to add."""
    return models.get_known(f"{request.encoder}-{request.dataset}").id


def _shared(request: RelativeDepthRequest, models: ModelTable) -> dict[str, Any]:
    # The relative depth of this API is metric depth with a range of 1.
    return {
        "model": _checkpoint(request, models),
        "image": request.image,
        "max_depth": request.max_depth if isinstance(request, MetricDepthRequest) else 1.0,
        "model_input_size": request.model_input_size,
        "encoding_format": "base64",
    }


def _to_depth(request: RelativeDepthRequest, models: ModelTable) -> Sequence[TaskQuery]:
    return [TaskQuery(DEPTH, DepthRequest(**_shared(request, models)))]


def _to_pointcloud(request: PointsFromDepthRequest, models: ModelTable) -> Sequence[TaskQuery]:
    points = PointcloudRequest(**_shared(request, models), camera_intrinsics=request.camera_intrinsics)
    return [TaskQuery(POINTCLOUD, points)]


def _from_depth(_: RelativeDepthRequest, answers: Sequence[TaskAnswer]) -> DepthMapResponse:
    [item] = answers[0].response.data
    return DepthMapResponse(depth_map=item.depth.data, shape=item.depth.shape, min=item.min, max=item.max)


def _from_pointcloud(_: PointsFromDepthRequest, answers: Sequence[TaskAnswer]) -> PointsFromDepthResponse:
    [item] = answers[0].response.data
    return PointsFromDepthResponse(
        pointcloud=item.points.data,
        pointcloud_shape=item.points.shape,
        depth_map=item.depth.data,
        depth_shape=item.depth.shape,
        min=item.min,
        max=item.max,
    )


_FIELDS = {"model": "encoder"}
_RELATIVE = {"image": SAMPLE_IMAGE, "encoder": "vitl", "dataset": "hypersim", "model_input_size": 518}
_METRIC = {**_RELATIVE, "max_depth": 1.0}
_POINTS = {**_METRIC, "camera_intrinsics": {"fx": 1000.0, "fy": 1000.0, "cx": 640.0, "cy": 480.0}}

DEPTH_ANYTHING_V2 = ApiDialect(
    name="depth-anything-v2",
    title="Depth Anything V2 server",
    description="Depth and point clouds of the metric Depth Anything V2 checkpoints, by encoder and data set.",
    seed="001",
    routes=(
        DialectRoute(
            "/pc", "Point cloud and depth of an image", PointsFromDepthRequest, PointsFromDepthResponse,
            _to_pointcloud, _from_pointcloud, (POINTCLOUD,), _POINTS,
            {"pointcloud": "…", "pointcloud_shape": [307200, 3], "depth_map": "…", "depth_shape": [480, 640],
             "min": 0.1, "max": 0.95}, _FIELDS,
        ),
        DialectRoute(
            "/metric_depth", "Depth up to `max_depth`", MetricDepthRequest, DepthMapResponse,
            _to_depth, _from_depth, (DEPTH,), _METRIC,
            {"depth_map": "…", "shape": [480, 640], "min": 0.1, "max": 0.95}, _FIELDS,
        ),
        DialectRoute(
            "/rel_depth", "Depth from 0 to 1", RelativeDepthRequest, DepthMapResponse,
            _to_depth, _from_depth, (DEPTH,), _RELATIVE,
            {"depth_map": "…", "shape": [480, 640], "min": 0.0, "max": 1.0}, _FIELDS,
        ),
    ),
)  # fmt: skip
