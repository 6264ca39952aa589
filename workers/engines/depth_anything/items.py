"""Turns depth estimates into the items of an answer: depth maps or point clouds."""

from __future__ import annotations

from typing import Any

from contract.arrays import Array
from contract.tasks.depth import Confidence, DepthItem, DepthParameters, DepthRequest, Intrinsics
from contract.tasks.pointcloud import Colors, PointcloudItem, PointcloudRequest, Points
from workers.engines.depth_anything import maps, points
from workers.engines.depth_anything.estimator import DepthEstimate, Quantity
from workers.toolkit.image_batches import BatchImage


def depth_item(image: BatchImage[DepthRequest], estimate: DepthEstimate, quantity: Quantity) -> DepthItem:
    """The depth map in the format that the request wants."""
    return DepthItem(
        kind=quantity,
        depth=maps.depth_map(estimate, quantity, image.request.format, image.request.encoding_format),
        camera_intrinsics=estimate.intrinsics,
        **_shared_fields(image, estimate),
    )


def pointcloud_item(
    image: BatchImage[PointcloudRequest], estimate: DepthEstimate, intrinsics: Intrinsics
) -> PointcloudItem:
    """The point cloud in the format that the request wants, with the colours, depth and confidence it asks for."""
    request = image.request
    xyz = points.unproject(estimate.depth, intrinsics)
    colors = points.colors_of(image.pil) if request.colors else None
    cloud, fields = _points(xyz, colors, estimate, request), _shared_fields(image, estimate)
    if request.format == "npz":  # the file holds everything
        return PointcloudItem(points=cloud, camera_intrinsics=intrinsics, **{**fields, "confidence": None})
    return PointcloudItem(
        points=cloud,
        colors=_colors(colors, request) if request.format == "float32" else None,
        depth=maps.float32_map(estimate, "depth", request.encoding_format) if request.depth else None,
        camera_intrinsics=intrinsics,
        **fields,
    )


def _points(xyz: Any, colors: Any, estimate: DepthEstimate, request: PointcloudRequest) -> Points:
    if request.format == "ply":
        data: Array = points.ply_file(xyz, colors)
    elif request.format == "npz":
        depth = estimate.depth if request.depth else None
        confidence = estimate.confidence if request.confidence else None
        data = points.npz_file(points=xyz, colors=colors, depth=depth, confidence=confidence)
    else:
        data = maps.encode(xyz, request.encoding_format, unit=maps.unit(estimate))
    return Points(format=request.format, shape=xyz.shape, data=data)


def _colors(colors: Any, request: PointcloudRequest) -> Colors | None:
    if colors is None:
        return None
    return Colors(shape=colors.shape, data=maps.encode(colors, request.encoding_format))


def _shared_fields(image: BatchImage[Any], estimate: DepthEstimate) -> dict[str, Any]:
    """The fields that items of both tasks have."""
    request: DepthParameters = image.request
    confidence = None
    if request.confidence:
        data = maps.encode(estimate.confidence, request.encoding_format)
        confidence = Confidence(shape=estimate.confidence.shape, data=data)
    low, high = float(estimate.depth.min()), float(estimate.depth.max())
    return {**image.item_fields, "unit": maps.unit(estimate), "min": low, "max": high, "confidence": confidence}
