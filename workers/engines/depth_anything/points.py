"""Makes points in space of depth, and files of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from contract.arrays import Array, pack_npz
from contract.tasks.depth import Intrinsics


def unproject(depth: Any, camera: Intrinsics) -> Any:
    """The points (x, y, z) that the pixels of a pinhole camera show: float32, (n, 3), row by row.

    `depth` is float32 of shape (height, width) along the camera's axis; a pixel's coordinates are its column and row.
    """
    height, width = depth.shape
    across = ((np.arange(width) - camera.cx) / camera.fx).astype(np.float32)
    down = ((np.arange(height) - camera.cy) / camera.fy).astype(np.float32)
    points = np.empty((height, width, 3), np.float32)
    np.multiply(depth, across, out=points[..., 0])
    np.multiply(depth, down[:, None], out=points[..., 1])
    points[..., 2] = depth
    return points.reshape(-1, 3)


def colors_of(image: Any) -> Any:
    """The colours of a picture's points: uint8, (n, 3), row by row."""
    return np.asarray(image).reshape(-1, 3)


def ply(points: Any, colors: Any = None) -> Array:
    """A binary PLY file of points, as viewers of point clouds read it (gamma.cs.unc.edu/POWERPLANT/papers/ply.pdf)."""
    fields = [("x", "<f4", "float"), ("y", "<f4", "float"), ("z", "<f4", "float")]
    if colors is not None:
        fields += [(name, "u1", "uchar") for name in ("red", "green", "blue")]
    rows: Any = np.empty(len(points), [(name, dtype) for name, dtype, _ in fields])
    values = [*points.T, *([] if colors is None else colors.T)]
    for (name, _, _), column in zip(fields, values, strict=True):
        rows[name] = column
    properties = "".join(f"property {kind} {name}\n" for name, _, kind in fields)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{properties}end_header\n"
    return Array.from_bytes(header.encode("ascii") + rows.tobytes())


def npz(**arrays: Any) -> Array:
    """An npz file with numpy arrays by name; None is left out."""
    return Array.from_bytes(pack_npz({name: Array.from_numpy(one) for name, one in arrays.items() if one is not None}))
