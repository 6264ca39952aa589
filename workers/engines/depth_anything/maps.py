"""Encodes depth maps: as float32 values, as a 16-bit greyscale PNG, or as a coloured preview."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal

import numpy as np

from contract.arrays import Array, as_list, as_png
from contract.tasks.depth import DepthMap
from workers.engines.depth_anything.estimator import DepthEstimate, Quantity

Encoding = Literal["float", "base64"]

_MAX_UINT16 = 65535
_NEAR_TO_FAR = (
    0x9E0142, 0xD53E4F, 0xF46D43, 0xFDAE61, 0xFEE08B, 0xFFFFBF, 0xE6F598, 0xABDDA4, 0x66C2A5, 0x3288BD, 0x5E4FA2,
)  # fmt: skip
"""ColorBrewer's Spectral (colorbrewer2.org, 11 classes), the colours of Depth Anything's own examples."""


def encode(values: Any, encoding: Encoding, **metadata: str) -> Array:
    """A numpy array that becomes a list of numbers or base64 in JSON, as the request wants it."""
    return Array.from_numpy(np.ascontiguousarray(values), as_list if encoding == "float" else None, metadata)


def float32_map(estimate: DepthEstimate, quantity: Quantity, encoding: Encoding) -> DepthMap:
    """The predicted values."""
    data = encode(estimate.depth, encoding, kind=quantity, unit=unit(estimate))
    return DepthMap(format="float32", shape=estimate.depth.shape, data=data)


def png16_map(estimate: DepthEstimate, quantity: Quantity) -> DepthMap:
    """Depth in 65536 steps, off by at most half a step: depth = value x scale + offset.

    The steps cover a metric model's whole range, so that images are comparable; otherwise the range of this image.
    """
    depth = estimate.depth
    low, high = (0.0, estimate.max_depth) if estimate.max_depth else (float(depth.min()), float(depth.max()))
    scale = (high - low) / _MAX_UINT16 or 1.0
    steps = np.rint((depth.astype(np.float64) - low) / scale).astype(np.uint16)
    metadata = {"scale": repr(scale), "offset": repr(low), "kind": quantity, "unit": unit(estimate)}
    data = Array.from_numpy(steps, as_png, metadata)
    return DepthMap(format="png16", shape=depth.shape, scale=scale, offset=low, data=data)


def preview_map(estimate: DepthEstimate, quantity: Quantity) -> DepthMap:
    """Depth for the human eye: red is near, blue is far."""
    depth = estimate.depth
    low, high = float(depth.min()), float(depth.max())
    relative = (depth - low) / ((high - low) or 1.0)
    farness = relative if quantity == "depth" else 1 - relative
    colors = _colormap()[np.rint(farness * 255).astype(np.uint8)]
    return DepthMap(format="preview", shape=depth.shape, data=Array.from_numpy(colors, as_png))


def unit(estimate: DepthEstimate) -> Literal["relative", "metre"]:
    """The unit of an estimate's depth."""
    return "metre" if estimate.metric else "relative"


def depth_map(estimate: DepthEstimate, quantity: Quantity, map_format: str, encoding: Encoding) -> DepthMap:
    """The depth map in the format that a request names."""
    encoders: dict[str, Callable[[], DepthMap]] = {
        "float32": partial(float32_map, estimate, quantity, encoding),
        "png16": partial(png16_map, estimate, quantity),
        "preview": partial(preview_map, estimate, quantity),
    }
    return encoders[map_format]()


@cache
def _colormap() -> Any:
    """256 colours from near to far: uint8, (256, 3)."""
    stops = np.array([[color >> 16, color >> 8 & 255, color & 255] for color in _NEAR_TO_FAR])
    positions = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(positions, range(len(stops)), channel) for channel in stops.T]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
