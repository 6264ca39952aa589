"""Depth Anything 1 and 2, Depth Pro and ZoeDepth, each as transformers runs it.

Sources: arXiv:2406.09414 (Depth Anything V2), arXiv:2410.02073 (Depth Pro), arXiv:2302.12288 (ZoeDepth).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PIL import Image

from contract.errors import BadImage
from contract.tasks.depth import DepthParameters, Intrinsics
from workers.engine import Device
from workers.engines.depth_anything.estimator import (
    DepthEstimate,
    DepthEstimator,
    InputSize,
    nearest_multiple,
    size_with_shorter_side,
)
from workers.toolkit.image_processors import target_sizes
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_MIN_PADDED_SIDE = 5
"""ZoeDepth's padding, `3 * sqrt(side / 2)`, must be shorter than the side that it reflects."""


class DepthPipeline:
    """A model of AutoModelForDepthEstimation with its image processor."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self.processor = checkpoint.processor("AutoImageProcessor")
        self.model = checkpoint.model("AutoModelForDepthEstimation", device, options)

    def predict(
        self, images: Sequence[Image.Image], sizes_argument: str = "target_sizes", **processor_arguments: Any
    ) -> list[dict[str, Any]]:
        """What the processor decodes for each image, such as `predicted_depth`, in float32 at the image's size.

        `sizes_argument` is what `post_process_depth_estimation` calls the images' sizes.
        """
        pixels = self.processor(images=list(images), return_tensors="pt", **processor_arguments)["pixel_values"]
        outputs = self.model(pixel_values=pixels.to(self.model.device, self.model.dtype))
        # Depth is decoded in full precision, and so is Depth Pro's field of view.
        outputs.predicted_depth = outputs.predicted_depth.float()
        if getattr(outputs, "field_of_view", None) is not None:
            outputs.field_of_view = outputs.field_of_view.float()
        predictions: list[dict[str, Any]] = self.processor.post_process_depth_estimation(
            outputs, **{sizes_argument: target_sizes(images)}
        )
        return predictions


class DepthAnything2(DepthEstimator):
    """Depth Anything 1 and 2: disparity, or depth in metres up to the checkpoint's `max_depth`."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self._pipeline = DepthPipeline(checkpoint, device, options)
        _keep_head_in_float32(self._pipeline.model)
        config = self._pipeline.model.config
        self._max_depth = float(config.max_depth) if config.depth_estimation_type == "metric" else None
        self.features = frozenset({"max_depth"} if self._max_depth else ())
        self.quantity = "depth" if self._max_depth else "disparity"

    def input_size(self, width: int, height: int, shorter_side: int | None) -> InputSize:
        """Scaled like the original code if a request names a side, and like transformers if not."""
        processor = self._pipeline.processor
        divisor, size = processor.ensure_multiple_of, processor.size
        if shorter_side:
            return size_with_shorter_side(width, height, shorter_side, divisor)
        y_scale, x_scale = size["height"] / height, size["width"] / width
        if processor.keep_aspect_ratio:  # use the scale that changes the image less
            y_scale = x_scale = x_scale if abs(1 - x_scale) < abs(1 - y_scale) else y_scale
        return (
            nearest_multiple(y_scale * height, divisor, divisor),
            nearest_multiple(x_scale * width, divisor, divisor),
        )

    def estimate(self, images: Sequence[Image.Image], shorter_side: int | None) -> list[DepthEstimate]:
        height, width = self.input_size(images[0].width, images[0].height, shorter_side)
        predictions = self._pipeline.predict(images, size={"height": height, "width": width}, keep_aspect_ratio=False)
        # Interpolation to the image's size overshoots at edges.
        maps = [prediction["predicted_depth"].clamp(0, self._max_depth) for prediction in predictions]
        metric = self._max_depth is not None
        return [
            DepthEstimate(_to_numpy(depth, image), metric=metric, max_depth=self._max_depth)
            for depth, image in zip(maps, images, strict=True)
        ]

    def adjusted(self, estimate: DepthEstimate, request: DepthParameters) -> DepthEstimate:
        """Depth over the range that the request names.

        The model's last step is a sigmoid times the end of its range, so another range is another factor.
        """
        if not (request.max_depth and self._max_depth):
            return estimate
        return estimate.scaled(request.max_depth / self._max_depth)


class DepthPro(DepthEstimator):
    """Depth Pro: depth in metres, and the camera's focal length."""

    predicts_intrinsics = True

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self._pipeline = DepthPipeline(checkpoint, device, options)

    def estimate(self, images: Sequence[Image.Image], shorter_side: int | None) -> list[DepthEstimate]:  # noqa: ARG002
        return [
            DepthEstimate(
                _to_numpy(prediction["predicted_depth"], image),
                metric=True,
                intrinsics=_centred_intrinsics(prediction["focal_length"], image),
            )
            for prediction, image in zip(self._pipeline.predict(images), images, strict=True)
        ]


class ZoeDepth(DepthEstimator):
    """ZoeDepth: depth in metres, indoors and outdoors."""

    max_input_pixels = 1024 * 1024
    """Its backbone has a bias for each pair of patches: 1 GiB for inputs of this size, 16 GiB if both sides double."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self._pipeline = DepthPipeline(checkpoint, device, options)

    def scaled_size(self, width: int, height: int, shorter_side: int | None) -> InputSize | None:  # noqa: ARG002
        """The size after padding, as `get_resize_output_image_size` of transformers computes it.

        Raises BadImage for an image too narrow to be padded with its own reflection.
        """
        processor = self._pipeline.processor
        if processor.do_pad and min(width, height) < _MIN_PADDED_SIDE:
            raise BadImage(f"ZoeDepth needs at least {_MIN_PADDED_SIDE} pixels on each side. Enlarge the image.")
        if not processor.keep_aspect_ratio:
            return None
        padded = [side + 2 * int(math.sqrt(side / 2) * 3) if processor.do_pad else side for side in (height, width)]
        scales = processor.size["height"] / padded[0], processor.size["width"] / padded[1]
        scale = min(scales, key=lambda factor: abs(1 - factor))
        height, width = (nearest_multiple(scale * side, 1, 1) for side in padded)
        return height, width

    def estimate(self, images: Sequence[Image.Image], shorter_side: int | None) -> list[DepthEstimate]:  # noqa: ARG002
        predictions = self._pipeline.predict(images, sizes_argument="source_sizes")
        return [
            DepthEstimate(_to_numpy(prediction["predicted_depth"].clamp(min=0), image), metric=True)
            for prediction, image in zip(predictions, images, strict=True)
        ]


def _keep_head_in_float32(model: Any) -> None:
    """Run everything after the backbone in float32: half precision would leave only a few hundred depth values."""
    model.neck.float()
    model.head.float()
    model.neck.register_forward_pre_hook(
        lambda _, arguments: ([states.float() for states in arguments[0]], *arguments[1:])
    )


def _centred_intrinsics(focal_length: Any, image: Image.Image) -> Intrinsics | None:
    """A camera with that focal length in pixels and the principal point in the image's centre; None if impossible."""
    focal = math.nan if focal_length is None else float(focal_length)
    if not 0 < focal < math.inf:
        return None
    return Intrinsics(fx=focal, fy=focal, cx=image.width / 2, cy=image.height / 2)


def _to_numpy(depth: Any, image: Image.Image) -> Any:
    """float32 of shape (height, width); transformers squeezes the sides of images with one row or column away."""
    return depth.reshape(image.height, image.width).cpu().numpy()
