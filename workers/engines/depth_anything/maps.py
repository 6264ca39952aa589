"""Writes a picture's depth down: as numbers, as a deep grey PNG, or as a coloured preview."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal

import numpy as np

from contract.arrays import Array, as_list, as_png
from contract.tasks.depth import DepthMap
from workers.engines.depth_anything.estimator import Estimate

Kind = Literal["depth", "disparity"]
Encoding = Literal["float", "base64"]

_DEEPEST = 65535
_NEAR_TO_FAR = (
    0x9E0142, 0xD53E4F, 0xF46D43, 0xFDAE61, 0xFEE08B, 0xFFFFBF, 0xE6F598, 0xABDDA4, 0x66C2A5, 0x3288BD, 0x5E4FA2,
)  # fmt: skip
"""ColorBrewer's Spectral (colorbrewer2.org, 11 classes), as Depth Anything's own pictures have it."""


def numbers(values: Any, encoding: Encoding, **notes: str) -> Array:
    """A numpy array, shown in JSON as the request wants it."""
    return Array.from_numpy(np.ascontiguousarray(values), as_list if encoding == "float" else None, notes)


def float32(estimate: Estimate, kind: Kind, encoding: Encoding) -> DepthMap:
    """Depth as it is."""
    data = numbers(estimate.depth, encoding, kind=kind, unit=unit(estimate))
    return DepthMap(format="float32", shape=estimate.depth.shape, data=data)


def png16(estimate: Estimate, kind: Kind) -> DepthMap:
    """Depth in 65536 steps, at most half a step off: depth = value x scale + offset.

    The steps divide a metric model's range, so that they are the same in all pictures, and else what is in the picture.
    """
    depth = estimate.depth
    low, high = (0.0, estimate.far) if estimate.far else (float(depth.min()), float(depth.max()))
    scale = (high - low) / _DEEPEST or 1.0
    steps = np.rint((depth.astype(np.float64) - low) / scale).astype(np.uint16)
    notes = {"scale": repr(scale), "offset": repr(low), "kind": kind, "unit": unit(estimate)}
    data = Array.from_numpy(steps, as_png, notes)
    return DepthMap(format="png16", shape=depth.shape, scale=scale, offset=low, data=data)


def preview(estimate: Estimate, kind: Kind) -> DepthMap:
    """Depth as a person sees it at a glance: red is near, blue is far."""
    depth = estimate.depth
    low, high = float(depth.min()), float(depth.max())
    share = (depth - low) / ((high - low) or 1.0)
    farness = share if kind == "depth" else 1 - share
    colors = _colors()[np.rint(farness * 255).astype(np.uint8)]
    return DepthMap(format="preview", shape=depth.shape, data=Array.from_numpy(colors, as_png))


def unit(estimate: Estimate) -> Literal["relative", "metre"]:
    """The unit of an estimate's depth."""
    return "metre" if estimate.metric else "relative"


def write(estimate: Estimate, kind: Kind, form: str, encoding: Encoding) -> DepthMap:
    """The depth map in the form that a request names."""
    forms: dict[str, Callable[[], DepthMap]] = {
        "float32": partial(float32, estimate, kind, encoding),
        "png16": partial(png16, estimate, kind),
        "preview": partial(preview, estimate, kind),
    }
    return forms[form]()


@cache
def _colors() -> Any:
    """256 colours from near to far: uint8, (256, 3)."""
    stops = np.array([[code >> 16, code >> 8 & 255, code & 255] for code in _NEAR_TO_FAR])
    places = np.linspace(0, len(stops) - 1, 256)
    channels = [np.interp(places, range(len(stops)), channel) for channel in stops.T]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
