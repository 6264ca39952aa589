"""What all families of depth models have in common: images in, a depth estimate of each out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from PIL import Image

from contract.errors import BadImage
from contract.tasks.depth import DepthParameters, Intrinsics

Quantity = Literal["depth", "disparity"]
"""What a model predicts: depth, or disparity (one over depth)."""
InputSize = tuple[int, int]
"""Height and width, in pixels, to which an image is scaled for a model."""


@dataclass(frozen=True, slots=True)
class DepthEstimate:
    """A model's prediction for one image.

    `depth` and `confidence` are numpy arrays of float32, (height, width) of the original image. `metric` says that
    depth is in metres, `max_depth` is the end of a metric model's range in metres, and `intrinsics` are the camera's,
    if the model predicts them.
    """

    depth: Any
    metric: bool = False
    max_depth: float | None = None
    confidence: Any = None
    intrinsics: Intrinsics | None = None

    def scaled(self, factor: float) -> DepthEstimate:
        """The estimate with depth and range multiplied by a factor."""
        max_depth = None if self.max_depth is None else self.max_depth * factor
        return replace(self, depth=self.depth * self.depth.dtype.type(factor), max_depth=max_depth)


class DepthEstimator(ABC):
    """A loaded model of one family."""

    features: frozenset[str] = frozenset()
    """The features of `DepthAnything` that this model has."""
    quantity: Quantity = "depth"
    predicts_intrinsics: bool = False
    max_input_pixels: int = 2048 * 2048
    """The maximum size of the model's input. Larger inputs, such as strips that are scaled up, take many gigabytes."""

    def input_size(self, width: int, height: int, shorter_side: int | None) -> InputSize | None:  # noqa: ARG002
        """The size at which the model sees an image, or None if a request cannot change it.

        `shorter_side` is what the request asks for, in pixels; None is the model's default.
        """
        return None

    def scaled_size(self, width: int, height: int, shorter_side: int | None) -> InputSize | None:
        """The size to which an image is scaled for the model, also if a request cannot change it; None if constant.

        Raises BadImage for an image that the model cannot see.
        """
        return self.input_size(width, height, shorter_side)

    def batch_key(self, width: int, height: int, shorter_side: int | None) -> Hashable:
        """Images with equal keys go through the model together."""
        return self.input_size(width, height, shorter_side) or (width, height)

    @abstractmethod
    def estimate(self, images: Sequence[Image.Image], shorter_side: int | None) -> Sequence[DepthEstimate | BadImage]:
        """Estimate the depth of images with one batch key; BadImage for an image without depth.

        Runs in torch's inference mode.
        """

    def adjusted(self, estimate: DepthEstimate, request: DepthParameters) -> DepthEstimate:  # noqa: ARG002
        """An estimate as the request wants it, such as metres over another range."""
        return estimate


def nearest_multiple(length: float, divisor: int, minimum: int) -> int:
    """The multiple of `divisor` nearest to a length or, if that is below `minimum`, the next one above the length."""
    nearest = round(length / divisor) * divisor
    return nearest if nearest >= minimum else math.ceil(length / divisor) * divisor


def size_with_shorter_side(width: int, height: int, shorter_side: int, divisor: int) -> InputSize:
    """The size of an image scaled so that its shorter side has that length, both sides multiples of `divisor`."""
    scale = shorter_side / min(width, height)
    return (
        nearest_multiple(scale * height, divisor, shorter_side),
        nearest_multiple(scale * width, divisor, shorter_side),
    )
