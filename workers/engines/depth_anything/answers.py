"""Makes an answer's item of a picture's estimate: a depth map, or points in space."""

from __future__ import annotations

from typing import Any

from contract.arrays import Array
from contract.tasks.depth import Confidence, DepthItem, DepthParameters, DepthRequest, Intrinsics
from contract.tasks.pointcloud import Colors, PointcloudItem, PointcloudRequest, Points
from workers.engines.depth_anything import maps, points
from workers.engines.depth_anything.estimator import Estimate
from workers.toolkit.image_batches import BatchImage


def depth_item(picture: BatchImage[DepthRequest], estimate: Estimate, kind: maps.Kind) -> DepthItem:
    """The depth map, in the form that the request wants."""
    return DepthItem(
        kind=kind,
        depth=maps.write(estimate, kind, picture.request.format, picture.request.encoding_format),
        camera_intrinsics=estimate.camera,
        **_both(picture, estimate),
    )


def point_item(picture: BatchImage[PointcloudRequest], estimate: Estimate, camera: Intrinsics) -> PointcloudItem:
    """The points, in the form that the request wants, with what it wants beside them."""
    request = picture.request
    found = points.unproject(estimate.depth, camera)
    colors = points.colors_of(picture.pil) if request.colors else None
    data, beside = _written(found, colors, estimate, request), _both(picture, estimate)
    if request.format == "npz":  # all is in the file
        return PointcloudItem(points=data, camera_intrinsics=camera, **{**beside, "confidence": None})
    return PointcloudItem(
        points=data,
        colors=_colors(colors, request) if request.format == "float32" else None,
        depth=maps.float32(estimate, "depth", request.encoding_format) if request.depth else None,
        camera_intrinsics=camera,
        **beside,
    )


def _written(found: Any, colors: Any, estimate: Estimate, request: PointcloudRequest) -> Points:
    if request.format == "ply":
        data: Array = points.ply(found, colors)
    elif request.format == "npz":
        depth = estimate.depth if request.depth else None
        confidence = estimate.confidence if request.confidence else None
        data = points.npz(points=found, colors=colors, depth=depth, confidence=confidence)
    else:
        data = maps.numbers(found, request.encoding_format, unit=maps.unit(estimate))
    return Points(format=request.format, shape=found.shape, data=data)


def _colors(colors: Any, request: PointcloudRequest) -> Colors | None:
    if colors is None:
        return None
    return Colors(shape=colors.shape, data=maps.numbers(colors, request.encoding_format))


def _both(picture: BatchImage[Any], estimate: Estimate) -> dict[str, Any]:
    """What an item of either task says."""
    request: DepthParameters = picture.request
    confidence = None
    if request.confidence:
        data = maps.numbers(estimate.confidence, request.encoding_format)
        confidence = Confidence(shape=estimate.confidence.shape, data=data)
    low, high = float(estimate.depth.min()), float(estimate.depth.max())
    return {**picture.item_fields, "unit": maps.unit(estimate), "min": low, "max": high, "confidence": confidence}
