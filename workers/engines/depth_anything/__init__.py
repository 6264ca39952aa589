"""Monocular depth estimation and point clouds: Depth Anything 1, 2 and 3, Depth Pro, ZoeDepth.

`estimator` defines what a family is, `transformers_models` and `version3` are the families; `items`, with `maps` and
`points`, turns their estimates into answers. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import BadImage, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.depth import DEPTH, DepthItem, DepthParameters, DepthRequest, DepthResponse
from contract.tasks.pointcloud import POINTCLOUD, PointcloudItem, PointcloudRequest, PointcloudResponse
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.finite import is_finite, not_finite
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.model_families import ModelFamilies
from workers.toolkit.pretrained import TorchOptions, read_checkpoint, set_up_torch, unsupported_message

if TYPE_CHECKING:
    from workers.engines.depth_anything.estimator import DepthEstimate, DepthEstimator
    from workers.toolkit.pretrained import Checkpoint

_FAMILIES = ModelFamilies(
    __name__,
    {
        "transformers_models:DepthAnything2": ("depth_anything",),
        "transformers_models:DepthPro": ("depth_pro",),
        "transformers_models:ZoeDepth": ("zoedepth",),
    },
)
_TYPICAL_INPUT_PIXELS = 518 * 924
"""What a model sees of a 16:9 image. `batch_size` counts images of this size."""
_WHY_UNSUPPORTED = {
    "max_depth": "has no range in metres that could be changed (the metric models of Depth Anything V2 have)",
    "confidence": "does not predict confidence (Depth Anything 3 does)",
}


class DepthOptions(TorchOptions):
    """`batch_size` is the maximum number of images of typical size in one forward pass; of larger images, fewer."""

    batch_size: int = Field(8, ge=1)


def _input_side(request: DepthParameters) -> Hashable:
    return request.model_input_size


class DepthAnything(Engine):
    """Depth maps and point clouds with Depth Anything (1, 2 and 3), Depth Pro and ZoeDepth.

    Depth Anything 3 needs the package depth-anything-3: `make env-depth-anything-3` makes an environment with it.
    """

    extras: ClassVar[tuple[str, ...]] = ("vision",)
    Options: ClassVar[type[engine.Options]] = DepthOptions
    features: ClassVar[frozenset[str]] = frozenset({"max_depth", "confidence"})
    model_types: ClassVar[tuple[str, ...]] = _FAMILIES.model_types
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        *_FAMILIES.modules,
        f"{__name__}.items",
        "transformers:AutoModelForDepthEstimation",
        "transformers:AutoImageProcessor",
        "transformers.models.depth_anything.modeling_depth_anything",
        "transformers.models.dinov2.modeling_dinov2",
        "transformers.models.dpt.image_processing_dpt",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and processor. Raises LoadFailed for a checkpoint of another type."""
        options = DepthOptions.model_validate(spec.options)
        set_up_torch(options)
        checkpoint = read_checkpoint(spec)
        self._name = spec.id
        self._estimator: DepthEstimator = _family(checkpoint)(checkpoint, device, options)
        self._batch_size = options.batch_size
        self._batcher = ImageBatcher(spec.id, options.batch_size, group_by=self._group)

    def loaded_features(self) -> frozenset[str]:
        return self._estimator.features

    @serves(DEPTH, max_batch=16, group=_input_side)
    def depth(self, calls: list[Call[DepthRequest]]) -> Iterator[tuple[Call[DepthRequest], Output]]:
        """Estimate the depth of all calls' images in shared batches."""
        yield from self._batcher.answer(calls, self._depth_items, DepthResponse, check=self._check)

    @serves(POINTCLOUD, max_batch=16, group=_input_side)
    def points(self, calls: list[Call[PointcloudRequest]]) -> Iterator[tuple[Call[PointcloudRequest], Output]]:
        """Estimate the depth of all calls' images in shared batches, and compute point clouds from it."""
        yield from self._batcher.answer(calls, self._pointcloud_items, PointcloudResponse, check=self._check_pointcloud)

    # Requests -------------------------------------------------------------------------------------------------

    def _group(self, image: BatchImage[Any]) -> Hashable:
        shorter_side = image.request.model_input_size
        return shorter_side, self._estimator.batch_key(image.width, image.height, shorter_side)

    def _check(self, image: BatchImage[Any]) -> None:
        """Raise a ServeError for what the model cannot do, or for an input that would be too large."""
        request = image.request
        for field in sorted(request.required_features() - self.loaded_features()):
            raise UnsupportedFeature(f"`{field}`: {self._name} {_WHY_UNSUPPORTED[field]}. Leave it out.", param=field)
        shape = image.width, image.height, request.model_input_size
        if request.model_input_size and self._estimator.input_size(*shape) is None:
            raise InvalidField(
                f"`model_input_size`: {self._name} has one fixed input size. Leave it out.",
                param="model_input_size",
            )
        size = self._estimator.scaled_size(*shape)
        if size and size[0] * size[1] > self._estimator.max_input_pixels:
            smaller = ", or ask for a smaller `model_input_size`" if self._estimator.input_size(*shape) else ""
            raise BadImage(
                f"{self._name} would have to scale this image of {image.width}x{image.height} to "
                f"{size[1]}x{size[0]}, which is more than {self._estimator.max_input_pixels} pixels. Crop it{smaller}."
            )

    def _check_pointcloud(self, image: BatchImage[PointcloudRequest]) -> None:
        self._check(image)
        if self._estimator.quantity == "disparity":
            raise UnsupportedFeature(
                f"{self._name} predicts relative disparity, from which no point cloud can be computed. Use a metric "
                "model, such as Depth-Anything-V2-Metric-Indoor or -Outdoor, or Depth Anything 3."
            )
        if not (image.request.camera_intrinsics or self._estimator.predicts_intrinsics):
            raise self._missing_intrinsics()

    # Answers --------------------------------------------------------------------------------------------------

    def _depth_items(self, batch: list[BatchImage[DepthRequest]]) -> list[DepthItem | ServeError]:
        from workers.engines.depth_anything.items import depth_item

        quantity = self._estimator.quantity
        return [
            estimate if isinstance(estimate, ServeError) else depth_item(image, estimate, quantity)
            for image, estimate in self._estimates(batch)
        ]

    def _pointcloud_items(self, batch: list[BatchImage[PointcloudRequest]]) -> list[PointcloudItem | ServeError]:
        from workers.engines.depth_anything.items import pointcloud_item

        items: list[PointcloudItem | ServeError] = []
        for image, estimate in self._estimates(batch):
            if isinstance(estimate, ServeError):
                items.append(estimate)
            elif intrinsics := image.request.camera_intrinsics or estimate.intrinsics:
                items.append(pointcloud_item(image, estimate, intrinsics))
            else:
                items.append(self._missing_intrinsics())
        return items

    def _estimates(
        self, images: Sequence[BatchImage[Any]]
    ) -> Iterator[tuple[BatchImage[Any], DepthEstimate | ServeError]]:
        """Each image with its estimate, adjusted to its request, or with the reason why there is none."""
        import torch

        shorter_side = images[0].request.model_input_size
        height, width = self._estimator.input_size(images[0].width, images[0].height, shorter_side) or (1, 1)
        batch_size = max(1, min(self._batch_size, self._batch_size * _TYPICAL_INPUT_PIXELS // (height * width)))
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            with torch.inference_mode():
                estimates = self._estimator.estimate([image.pil for image in batch], shorter_side)
            for image, estimate in zip(batch, estimates, strict=True):
                yield image, self._adjusted(estimate, image)

    def _adjusted(self, estimate: DepthEstimate | BadImage, image: BatchImage[Any]) -> DepthEstimate | ServeError:
        if isinstance(estimate, BadImage):
            return estimate
        if not (is_finite(estimate.depth) and is_finite(estimate.confidence)):  # an encoded file would hide it
            return not_finite(self._name, "image", image.index)
        return self._estimator.adjusted(estimate, image.request)

    def _missing_intrinsics(self) -> InvalidField:
        return InvalidField(
            f"`camera_intrinsics`: {self._name} does not predict the camera of this image. Send its fx, fy, cx and cy "
            "in pixels of the upright image. If you have no measured values, fx = fy = 0.8 x the longer side, with cx "
            "and cy in the centre, is a fair guess for a photograph.",
            param="camera_intrinsics",
        )


def _family(checkpoint: Checkpoint) -> Callable[..., DepthEstimator]:
    """The class that runs a checkpoint. Raises LoadFailed if there is none."""
    if str(checkpoint.config.get("model_name")).startswith("da3"):  # written by Depth Anything 3's own package
        from workers.engines.depth_anything.version3 import DepthAnything3

        return DepthAnything3
    if checkpoint.model_type not in _FAMILIES.model_types:
        raise LoadFailed(unsupported_message(checkpoint.spec, checkpoint.model_type))
    family: Callable[..., DepthEstimator] = _FAMILIES.find(checkpoint.model_type)
    return family
