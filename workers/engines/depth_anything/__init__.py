"""Tells how far away everything in a picture is, and where in space: Depth Anything 1, 2 and 3, Depth Pro, ZoeDepth.

`estimator` says what a family is, `transformers_models` and `version3` are the families; `answers`, with `maps` and
`points`, writes what they find. Nothing heavy is imported before `load`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import BadImage, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.depth import DEPTH, DepthItem, DepthParameters, DepthRequest, DepthResponse
from contract.tasks.pointcloud import POINTCLOUD, PointcloudItem, PointcloudRequest, PointcloudResponse
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.pretrained import TorchOptions, read_checkpoint, set_up_torch, unsupported_message

if TYPE_CHECKING:
    from workers.engines.depth_anything.estimator import Estimate, Estimator
    from workers.toolkit.pretrained import Checkpoint

_HERE = "workers.engines.depth_anything"
_FAMILIES = {
    "depth_anything": f"{_HERE}.transformers_models:DepthAnything2",
    "depth_pro": f"{_HERE}.transformers_models:DepthPro",
    "zoedepth": f"{_HERE}.transformers_models:ZoeDepth",
}
"""Our class for each of transformers' `model_type`s."""
_VERSION_3 = f"{_HERE}.version3:DepthAnything3"
_MOST_PIXELS = 4096 * 4096
"""What a model is made to see at most: a strip of a picture, scaled up, would take hours."""
_USUAL_PIXELS = 518 * 924
"""What a model sees of a picture of 16:9; `batch_size` is meant for such."""


_LACKS = {
    "max_depth": "has no range in metres that could be another (Depth Anything V2's metric models have)",
    "confidence": "does not tell how sure it is (Depth Anything 3 does)",
}


class DepthOptions(TorchOptions):
    """`batch_size` is how many pictures of usual size the model looks at at once; of larger ones fewer."""

    batch_size: int = Field(8, ge=1)


def _seen_alike(request: DepthParameters) -> Hashable:
    return request.model_input_size


class DepthAnything(Engine):
    """Depth and point clouds by Depth Anything (1, 2 and 3), Depth Pro and ZoeDepth.

    Depth Anything 3 needs the package depth-anything-3: `make env-depth-anything-3` makes an environment with it.
    """

    Options: ClassVar[type[engine.Options]] = DepthOptions
    features: ClassVar[frozenset[str]] = frozenset({"max_depth", "confidence"})
    model_types: ClassVar[tuple[str, ...]] = tuple(_FAMILIES)
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        f"{_HERE}.transformers_models",
        f"{_HERE}.answers",
        "transformers:AutoModelForDepthEstimation",
        "transformers:AutoImageProcessor",
        "transformers.models.depth_anything.modeling_depth_anything",
        "transformers.models.dinov2.modeling_dinov2",
        "transformers.models.dpt.image_processing_dpt",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        options = DepthOptions.model_validate(spec.options)
        set_up_torch(options)
        found = read_checkpoint(spec)
        self._name = spec.id
        self._estimator: Estimator = pkgutil.resolve_name(_family(found))(found, device, options)
        self._batch_size = options.batch_size
        self._pictures = ImageBatcher(spec.id, options.batch_size, group_by=self._alike)

    def loaded_features(self) -> frozenset[str]:
        return self._estimator.loaded_features()

    @serves(DEPTH, max_batch=16, group=_seen_alike)
    def depth(self, calls: list[Call[DepthRequest]]) -> Iterator[tuple[Call[DepthRequest], Output]]:
        """Estimate the depth of the calls' pictures together."""
        yield from self._pictures.answer(calls, self._depth_items, DepthResponse, check=self._check)

    @serves(POINTCLOUD, max_batch=16, group=_seen_alike)
    def points(self, calls: list[Call[PointcloudRequest]]) -> Iterator[tuple[Call[PointcloudRequest], Output]]:
        """The same, and from it the points in space."""
        yield from self._pictures.answer(calls, self._point_items, PointcloudResponse, check=self._check_camera)

    # What can be asked ----------------------------------------------------------------------------------------

    def _alike(self, picture: BatchImage[Any]) -> Hashable:
        shorter = picture.request.model_input_size
        return shorter, self._estimator.alike(picture.width, picture.height, shorter)

    def _check(self, picture: BatchImage[Any]) -> None:
        request = picture.request
        for field in sorted(request.required_features() - self.loaded_features()):
            raise UnsupportedFeature(f"`{field}`: {self._name} {_LACKS[field]}; leave it out.", param=field)
        grid = self._estimator.grid(picture.width, picture.height, request.model_input_size)
        if grid is None and request.model_input_size:
            raise InvalidField(
                f"`model_input_size`: {self._name} sees every picture at one size; leave it out.",
                param="model_input_size",
            )
        if grid and grid[0] * grid[1] > _MOST_PIXELS:
            raise BadImage(
                f"{self._name} would have to see this picture of {picture.width}x{picture.height} at "
                f"{grid[1]}x{grid[0]}, which is too much. Crop it, or ask for a smaller `model_input_size`."
            )

    def _check_camera(self, picture: BatchImage[PointcloudRequest]) -> None:
        self._check(picture)
        if self._estimator.kind == "disparity":
            raise UnsupportedFeature(
                f"{self._name} tells relative disparity, from which no points in space follow. Ask a metric model, "
                "such as Depth-Anything-V2-Metric-Indoor or -Outdoor, or Depth Anything 3."
            )
        if not (picture.request.camera_intrinsics or self._estimator.finds_camera):
            raise self._no_camera()

    # Answers --------------------------------------------------------------------------------------------------

    def _depth_items(self, pictures: list[BatchImage[DepthRequest]]) -> list[DepthItem | ServeError]:
        from workers.engines.depth_anything.answers import depth_item

        kind = self._estimator.kind
        return [
            found if isinstance(found, ServeError) else depth_item(picture, found, kind)
            for picture, found in self._look(pictures)
        ]

    def _point_items(self, pictures: list[BatchImage[PointcloudRequest]]) -> list[PointcloudItem | ServeError]:
        from workers.engines.depth_anything.answers import point_item

        items: list[PointcloudItem | ServeError] = []
        for picture, found in self._look(pictures):
            if isinstance(found, ServeError):
                items.append(found)
            elif camera := picture.request.camera_intrinsics or found.camera:
                items.append(point_item(picture, found, camera))
            else:
                items.append(self._no_camera())
        return items

    def _look(self, pictures: Sequence[BatchImage[Any]]) -> Iterator[tuple[BatchImage[Any], Estimate | ServeError]]:
        """Each picture with its estimate, made to fit its request, or with why it has none."""
        shorter = pictures[0].request.model_input_size
        height, width = self._estimator.grid(pictures[0].width, pictures[0].height, shorter) or (1, 1)
        room = max(1, min(self._batch_size, self._batch_size * _USUAL_PIXELS // (height * width)))
        for start in range(0, len(pictures), room):
            batch = pictures[start : start + room]
            found = self._estimator.look([picture.pil for picture in batch], shorter)
            for picture, one in zip(batch, found, strict=True):
                yield picture, one if isinstance(one, ServeError) else self._estimator.fit(one, picture.request)

    def _no_camera(self) -> InvalidField:
        return InvalidField(
            f"`camera_intrinsics`: {self._name} does not find the camera of this picture; send its fx, fy, cx and cy "
            "in pixels of the upright picture. Where none were measured, fx = fy = 0.8 x the longer side, with cx and "
            "cy in the middle, is a fair guess for a photograph.",
            param="camera_intrinsics",
        )


def _family(found: Checkpoint) -> str:
    """Our class for a checkpoint, as pkgutil.resolve_name takes it. Raises LoadFailed for one of another kind."""
    if str(found.config.get("model_name")).startswith("da3"):  # as its own package writes it
        return _VERSION_3
    if found.model_type not in _FAMILIES:
        raise LoadFailed(unsupported_message(found.spec, found.model_type))
    return _FAMILIES[found.model_type]
