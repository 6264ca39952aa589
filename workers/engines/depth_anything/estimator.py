"""What a family of depth models is: pictures in, an estimate of each out; the engine does the rest."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from PIL import Image

from contract.errors import BadImage
from contract.tasks.depth import DepthParameters, Intrinsics

Grid = tuple[int, int]
"""Height and width, in pixels, at which a model sees a picture."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How far away everything in a picture is.

    `depth` and `confidence` are numpy arrays of float32, (height, width) of the picture itself; `metric` says that
    depth is in metres, and `far` where the range of a metric model ends.
    """

    depth: Any
    metric: bool = False
    far: float | None = None
    confidence: Any = None
    camera: Intrinsics | None = None

    def scaled(self, factor: float) -> Estimate:
        """The same scene, larger by a factor."""
        far = None if self.far is None else self.far * factor
        return replace(self, depth=self.depth * self.depth.dtype.type(factor), far=far)


class Estimator(ABC):
    """A loaded model of one family."""

    features: ClassVar[frozenset[str]] = frozenset()
    """Which of the engine's features every model of the family has."""
    kind: Literal["depth", "disparity"] = "depth"
    finds_camera: bool = False
    """Whether it tells the intrinsics of the camera."""

    def loaded_features(self) -> frozenset[str]:
        """Which of the engine's features this model has."""
        return self.features

    def grid(self, width: int, height: int, shorter: int | None) -> Grid | None:  # noqa: ARG002 - for families
        """How large a picture is when the model sees it; None where no request can change that.

        `shorter` is the shorter side that a request wants, None the model's own way.
        """
        return None

    def alike(self, width: int, height: int, shorter: int | None) -> Hashable:
        """Pictures of equal value go through the model together."""
        return self.grid(width, height, shorter) or (width, height)

    @abstractmethod
    def look(self, images: Sequence[Image.Image], shorter: int | None) -> Sequence[Estimate | BadImage]:
        """Estimate the depth of pictures that are alike; BadImage for one that has none."""

    def fit(self, estimate: Estimate, request: DepthParameters) -> Estimate:  # noqa: ARG002 - for families
        """What the request makes of a picture's estimate, such as metres of another scale."""
        return estimate


def multiple(length: float, of: int, least: int) -> int:
    """The multiple that is nearest to a length, if that is not below `least`; else the next above."""
    nearest = round(length / of) * of
    return nearest if nearest >= least else math.ceil(length / of) * of


def shorter_side(width: int, height: int, shorter: int, of: int) -> Grid:
    """The grid whose shorter side is `shorter`, each side a multiple of `of`."""
    scale = shorter / min(width, height)
    return multiple(scale * height, of, shorter), multiple(scale * width, of, shorter)
