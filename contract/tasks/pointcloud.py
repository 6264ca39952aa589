"""pointcloud: the points in space that a picture shows, from its depth and the camera's intrinsics."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from contract.arrays import Array
from contract.tasks import Task
from contract.tasks.depth import Confidence, DepthMap, DepthParameters, Intrinsics
from contract.tasks.vision import VisionItem, VisionResponse


class PointcloudRequest(DepthParameters):
    """`camera_intrinsics` are needed unless the model finds them itself. `colors` adds each point's colour.

    The pixel in column u and row v, both from 0, is the point x = (u - cx) z / fx, y = (v - cy) z / fy, with z its
    depth. `format`: `float32` values, a `ply` file (binary, little-endian) with the colours in it, or an `npz` file
    with all that is asked for. `depth: false` leaves out the depth map, which otherwise comes along as float32.
    """

    colors: bool = False
    depth: bool = True
    format: Literal["float32", "ply", "npz"] = "float32"


class Points(BaseModel):
    """X to the right, Y down and Z forward from the camera, in the depth's unit, row by row of the picture: (n, 3).

    `data` is base64 of little-endian float32 in C order, or of a PLY file (x, y, z, red, green, blue) or an npz file
    (`points`, `colors`, `depth`, `confidence`).
    """

    format: Literal["float32", "ply", "npz"]
    shape: tuple[int, int]
    data: Array


class Colors(BaseModel):
    """Red, green and blue of every point, base64 of uint8: (n, 3)."""

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


POINTCLOUD = Task("pointcloud", "/v1/vision/pointcloud", PointcloudRequest, PointcloudResponse)
