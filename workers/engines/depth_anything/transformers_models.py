"""Depth Anything 1 and 2, Depth Pro and ZoeDepth, each as transformers runs it.

Sources: arXiv:2406.09414 (Depth Anything V2), arXiv:2410.02073 (Depth Pro), arXiv:2302.12288 (ZoeDepth).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from contract.tasks.depth import DepthParameters, Intrinsics
from workers.engine import Device
from workers.engines.depth_anything.estimator import Estimate, Estimator, Grid, multiple, shorter_side
from workers.toolkit.pretrained import Checkpoint, TorchOptions


class ThroughTransformers(Estimator):
    """A model of AutoModelForDepthEstimation and its image processor."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self._processor = checkpoint.processor("AutoImageProcessor")
        self._model = checkpoint.model("AutoModelForDepthEstimation", device, options)

    def look(self, images: Sequence[Image.Image], shorter: int | None) -> list[Estimate]:
        sized = self._sized(images[0], shorter)
        pixels = self._processor(images=list(images), return_tensors="pt", **sized)["pixel_values"]
        with torch.inference_mode():
            outputs = self._model(pixel_values=pixels.to(self._model.device, self._model.dtype))
            outputs.predicted_depth = outputs.predicted_depth.float()
            found = self._at_full_size(outputs, [(image.height, image.width) for image in images])
            return [self._estimate(one, image) for one, image in zip(found, images, strict=True)]

    def _sized(self, image: Image.Image, shorter: int | None) -> dict[str, Any]:  # noqa: ARG002 - for families
        """What the processor is told about the size at which the model sees pictures like this one."""
        return {}

    def _at_full_size(self, outputs: Any, sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._processor.post_process_depth_estimation(outputs, target_sizes=sizes)
        return found

    @abstractmethod
    def _estimate(self, found: dict[str, Any], image: Image.Image) -> Estimate: ...


class DepthAnything2(ThroughTransformers):
    """Depth Anything 1 and 2: disparity, or metres of a scene whose far end the checkpoint names."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        super().__init__(checkpoint, device, options)
        _in_full_precision(self._model)
        config = self._model.config
        self._far = float(config.max_depth) if config.depth_estimation_type == "metric" else None
        self.kind = "depth" if self._far else "disparity"

    def loaded_features(self) -> frozenset[str]:
        return frozenset({"max_depth"} if self._far else ())

    def grid(self, width: int, height: int, shorter: int | None) -> Grid:
        """As the original code scales where a request names a side, and as the library does where none does."""
        of, size = self._processor.ensure_multiple_of, self._processor.size
        if shorter:
            return shorter_side(width, height, shorter, of)
        down, across = size["height"] / height, size["width"] / width
        if self._processor.keep_aspect_ratio:  # by the factor that changes the picture less
            down = across = across if abs(1 - across) < abs(1 - down) else down
        return multiple(down * height, of, of), multiple(across * width, of, of)

    def _sized(self, image: Image.Image, shorter: int | None) -> dict[str, Any]:
        height, width = self.grid(image.width, image.height, shorter)
        return {"size": {"height": height, "width": width}, "keep_aspect_ratio": False}

    def _estimate(self, found: dict[str, Any], image: Image.Image) -> Estimate:
        # Scaling to the picture's size overshoots at edges.
        depth = found["predicted_depth"].clamp(0, self._far)
        return Estimate(_numpy(depth, image), metric=self._far is not None, far=self._far)

    def fit(self, estimate: Estimate, request: DepthParameters) -> Estimate:
        """The model ends in a sigmoid times the end of its range, so that another range is another factor."""
        return estimate.scaled(request.max_depth / self._far) if request.max_depth and self._far else estimate


class DepthPro(ThroughTransformers):
    """Depth Pro: metres, and the camera's focal length."""

    finds_camera = True

    def _at_full_size(self, outputs: Any, sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
        if outputs.field_of_view is not None:
            outputs.field_of_view = outputs.field_of_view.float()
        return super()._at_full_size(outputs, sizes)

    def _estimate(self, found: dict[str, Any], image: Image.Image) -> Estimate:
        camera, focal = None, math.nan if found["focal_length"] is None else float(found["focal_length"])
        if 0 < focal < math.inf:
            camera = Intrinsics(fx=focal, fy=focal, cx=image.width / 2, cy=image.height / 2)
        return Estimate(_numpy(found["predicted_depth"], image), metric=True, camera=camera)


class ZoeDepth(ThroughTransformers):
    """ZoeDepth: metres, indoors and outdoors."""

    def _at_full_size(self, outputs: Any, sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._processor.post_process_depth_estimation(outputs, source_sizes=sizes)
        return found

    def _estimate(self, found: dict[str, Any], image: Image.Image) -> Estimate:
        return Estimate(_numpy(found["predicted_depth"].clamp(min=0), image), metric=True)


def _in_full_precision(model: Any) -> None:
    """Keep what follows the backbone in float32: in half precision depth would come in a few hundred steps."""
    model.neck.float()
    model.head.float()
    model.neck.register_forward_pre_hook(lambda _, given: ([one.float() for one in given[0]], *given[1:]))


def _numpy(depth: Any, image: Image.Image) -> Any:
    """float32 of shape (height, width); the library squeezes the sides of pictures of one row or column away."""
    return depth.reshape(image.height, image.width).cpu().numpy()
