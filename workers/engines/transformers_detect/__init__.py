"""Finds things in pictures with transformers: what a text names, or the classes that a model was trained for.

`detector` says what a family is; `grounding`, `owl` and `classes` are the families. Nothing heavy is imported before
`load`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.detect import DETECT, Detection, DetectItem, DetectRequest, DetectResponse
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.image_batches import BatchImage, ImageBatcher, size_key
from workers.toolkit.pretrained import TorchOptions, checkpoint, set_up_torch

if TYPE_CHECKING:
    from workers.engines.transformers_detect.detector import Detector, ScoredBox

_HERE = "workers.engines.transformers_detect"
_FAMILIES = {
    "grounding:GroundingDino": ("grounding-dino", "mm-grounding-dino"),
    "owl:Owl": ("owlvit", "owlv2"),
    "classes:Classes": (
        "conditional_detr", "d_fine", "dab-detr", "deformable_detr", "detr", "rf_detr", "rt_detr", "rt_detr_v2",
        "table-transformer", "yolos",
    ),
}  # fmt: skip
"""Our class for each of transformers' `model_type`s."""


class DetectOptions(TorchOptions):
    """`batch_size` is how many pictures the model looks at at once."""

    batch_size: int = Field(8, ge=1)


def _labels(request: DetectRequest) -> Hashable:
    return tuple(request.labels)


class TransformersDetect(Engine):
    """Boxes around what a text names (Grounding DINO, OWL-ViT) or around known classes (DETR, RT-DETR, YOLOS)."""

    Options: ClassVar[type[engine.Options]] = DetectOptions
    features: ClassVar[frozenset[str]] = frozenset({"prompt", "text_threshold"})
    model_types: ClassVar[tuple[str, ...]] = tuple(name for family in _FAMILIES.values() for name in family)
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        *(f"{_HERE}.{family.partition(':')[0]}" for family in _FAMILIES),
        "transformers:AutoProcessor",
        "transformers.models.grounding_dino.modeling_grounding_dino",
        "transformers.models.grounding_dino.processing_grounding_dino",
        "transformers.models.rt_detr.modeling_rt_detr",
        "transformers.models.rt_detr.image_processing_rt_detr",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        options = DetectOptions.model_validate(spec.options)
        set_up_torch(options)
        found = checkpoint(spec, type(self))
        family = next(name for name, types in _FAMILIES.items() if found.model_type in types)
        self._detector: Detector = pkgutil.resolve_name(f"{_HERE}.{family}")(found, device, options)
        self._pictures = ImageBatcher(spec.id, options.batch_size, group_by=self._alike)

    def loaded_features(self) -> frozenset[str]:
        return self._detector.features

    @serves(DETECT, max_batch=16, group=_labels)
    def detect(self, calls: list[Call[DetectRequest]]) -> Iterator[tuple[Call[DetectRequest], Output]]:
        """Look at the calls' pictures together, as far as they ask for the same labels."""
        yield from self._pictures.answer(calls, self._look, DetectResponse, check=self._check)

    def _alike(self, picture: BatchImage[Any]) -> Hashable:
        """Pictures that the processor scales to one size need no padding, which would change what is found."""
        return _labels(picture.request), None if self._detector.one_size else size_key(picture)

    def _check(self, picture: BatchImage[DetectRequest]) -> None:
        self._detector.check(picture.request)

    def _look(self, pictures: list[BatchImage[DetectRequest]]) -> list[DetectItem | ServeError]:
        found = self._detector.look([picture.pil for picture in pictures], pictures[0].request.labels)
        return [self._item(picture, candidates) for picture, candidates in zip(pictures, found, strict=True)]

    def _item(self, picture: BatchImage[DetectRequest], candidates: list[ScoredBox]) -> DetectItem:
        """What is above the thresholds, best first, within the picture."""
        request, detector = picture.request, self._detector
        box_threshold = detector.box_threshold if request.box_threshold is None else request.box_threshold
        text_threshold = detector.text_threshold if request.text_threshold is None else request.text_threshold
        sure = [one for one in candidates if one.score > box_threshold and one.text_score > text_threshold]
        sure.sort(key=lambda one: -one.score)
        detections = [_detection(one, picture) for one in sure[: request.max_detections]]
        return DetectItem(**picture.item_fields, detections=detections)


def _detection(found: ScoredBox, picture: BatchImage[Any]) -> Detection:
    x0, y0, x1, y1 = found.box
    width, height = picture.width, picture.height
    box = _within(x0, width), _within(y0, height), _within(x1, width), _within(y1, height)
    return Detection(label=found.label, score=found.score, box=box)


def _within(value: float, end: int) -> float:
    return min(max(value, 0.0), float(end))
