"""pointcloud: the 3D points that an image shows, computed from its depth and the camera's intrinsics."""

from __future__ import annotations

from typing import Literal

from contract.arrays import Array
from contract.lazy_model import LazyModel
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.depth import Confidence, DepthMap, DepthParameters, Intrinsics
from contract.tasks.vision import VisionItem, VisionResponse


class PointcloudRequest(DepthParameters):
    """`camera_intrinsics` are required unless the model estimates them. `colors` adds each point's colour.

    The pixel in column u and row v, both counted from 0, becomes the point x = (u - cx) z / fx, y = (v - cy) z / fy,
    where z is its depth. `format`: `float32` values, a binary little-endian `ply` file including colours, or an `npz`
    file with everything requested. `depth: false` omits the depth map (float32).
    """

    colors: bool = False
    depth: bool = True
    format: Literal["float32", "ply", "npz"] = "float32"


class Points(LazyModel):
    """The points in the camera's frame (X right, Y down, Z forward), in the depth's unit, in row order: (n, 3).

    `data` is base64 of little-endian float32 in C order, of a PLY file (x, y, z, red, green, blue), or of an npz file
    (`points`, `colors`, `depth`, `confidence`).
    """

    format: Literal["float32", "ply", "npz"]
    shape: tuple[int, int]
    data: Array


class Colors(LazyModel):
    """Red, green and blue of every point: (n, 3), base64 of uint8."""

    shape: tuple[int, int]
    data: Array


class PointcloudItem(VisionItem):
    unit: Literal["relative", "metre"]
    min: float
    max: float
    points: Points
    colors: Colors | None = None
    depth: DepthMap | None = None
    confidence: Confidence | None = None
    camera_intrinsics: Intrinsics


class PointcloudResponse(VisionResponse):
    data: list[PointcloudItem]


POINTCLOUD = Task(
    "pointcloud",
    "/v1/vision/pointcloud",
    PointcloudRequest,
    PointcloudResponse,
    array_metadata=("unit",),
    example={"image": SAMPLE_IMAGE},
    title="Point cloud",
)
