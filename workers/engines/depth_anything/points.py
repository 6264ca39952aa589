"""Computes point clouds from depth maps, and writes them as PLY and npz files."""

from __future__ import annotations

from typing import Any

import numpy as np

from contract.arrays import Array, pack_npz
from contract.tasks.depth import Intrinsics


def unproject(depth: Any, intrinsics: Intrinsics) -> Any:
    """The points (x, y, z) that the pixels of a pinhole camera show: float32, (height x width, 3), row by row.

    `depth` is float32 of shape (height, width) along the camera's axis; a pixel's coordinates are its column and row.
    """
    height, width = depth.shape
    x_slopes = ((np.arange(width) - intrinsics.cx) / intrinsics.fx).astype(np.float32)
    y_slopes = ((np.arange(height) - intrinsics.cy) / intrinsics.fy).astype(np.float32)
    points = np.empty((height, width, 3), np.float32)
    np.multiply(depth, x_slopes, out=points[..., 0])
    np.multiply(depth, y_slopes[:, None], out=points[..., 1])
    points[..., 2] = depth
    return points.reshape(-1, 3)


def colors_of(image: Any) -> Any:
    """The colours of the points of an RGB image: uint8, (height x width, 3), row by row."""
    return np.asarray(image).reshape(-1, 3)


def ply_file(points: Any, colors: Any = None) -> Array:
    """A binary PLY file of points, as point cloud viewers read it (gamma.cs.unc.edu/POWERPLANT/papers/ply.pdf)."""
    fields = [("x", "<f4", "float"), ("y", "<f4", "float"), ("z", "<f4", "float")]
    if colors is not None:
        fields += [(name, "u1", "uchar") for name in ("red", "green", "blue")]
    vertices: Any = np.empty(len(points), [(name, dtype) for name, dtype, _ in fields])
    columns = [*points.T, *([] if colors is None else colors.T)]
    for (name, _, _), column in zip(fields, columns, strict=True):
        vertices[name] = column
    properties = "".join(f"property {ply_type} {name}\n" for name, _, ply_type in fields)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{properties}end_header\n"
    return Array.from_bytes(header.encode("ascii") + vertices.tobytes())


def npz_file(**arrays: Any) -> Array:
    """An npz file of the named numpy arrays, without those that are None."""
    return Array.from_bytes(
        pack_npz({name: Array.from_numpy(array) for name, array in arrays.items() if array is not None})
    )
