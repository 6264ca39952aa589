"""Object detection with transformers: by a text prompt, or for the classes that a model was trained on.

`detector` defines what a family is; `grounding`, `owl` and `closed_set` are the families. Nothing heavy is imported
before `load`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.detect import DETECT, Detection, DetectItem, DetectRequest, DetectResponse
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.finite import is_finite, not_finite
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.image_processors import without_padding
from workers.toolkit.model_families import ModelFamilies, open_checkpoint
from workers.toolkit.pretrained import TorchOptions

if TYPE_CHECKING:
    from workers.engines.transformers_detect.detector import Detector, ScoredBox

_FAMILIES = ModelFamilies(
    __name__,
    {
        "grounding:GroundingDino": ("grounding-dino", "mm-grounding-dino"),
        "owl:Owl": ("owlvit", "owlv2"),
        "closed_set:ClosedSetDetector": (
            "conditional_detr", "d_fine", "dab-detr", "deformable_detr", "detr", "rf_detr", "rt_detr", "rt_detr_v2",
            "table-transformer", "yolos",
        ),
    },
)  # fmt: skip


class DetectOptions(TorchOptions):
    """`batch_size` is the maximum number of images in one forward pass."""

    batch_size: int = Field(8, ge=1)


def _labels(request: DetectRequest) -> Hashable:
    return tuple(request.labels)


class TransformersDetect(Engine):
    """Boxes around what a prompt names (Grounding DINO, OWL-ViT) or around known classes (DETR, RT-DETR, YOLOS)."""

    extras: ClassVar[tuple[str, ...]] = ("vision",)
    Options: ClassVar[type[engine.Options]] = DetectOptions
    features: ClassVar[frozenset[str]] = frozenset({"prompt", "text_threshold"})
    model_types: ClassVar[tuple[str, ...]] = _FAMILIES.model_types
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        *_FAMILIES.modules,
        "transformers:AutoProcessor",
        "transformers.models.grounding_dino.modeling_grounding_dino",
        "transformers.models.grounding_dino.processing_grounding_dino",
        "transformers.models.rt_detr.modeling_rt_detr",
        "transformers.models.rt_detr.image_processing_rt_detr",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and processor. Raises LoadFailed for a checkpoint of another type."""
        options, checkpoint = open_checkpoint(spec, type(self), DetectOptions)
        self._detector: Detector = _FAMILIES.find(checkpoint.model_type)(checkpoint, device, options)
        group = without_padding(self._detector.image_processor)
        self._batcher = ImageBatcher(
            spec.id, options.batch_size, group_by=lambda image: (_labels(image.request), group(image))
        )

    def loaded_features(self) -> frozenset[str]:
        return self._detector.features

    @serves(DETECT, max_batch=16, group=_labels)
    def detect(self, calls: list[Call[DetectRequest]]) -> Iterator[tuple[Call[DetectRequest], Output]]:
        """Detect in the images of all calls; those with the same labels share batches."""
        yield from self._batcher.answer(calls, self._detect_batch, DetectResponse, check=self._check)

    def _check(self, image: BatchImage[DetectRequest]) -> None:
        self._detector.check(image.request)

    def _detect_batch(self, batch: list[BatchImage[DetectRequest]]) -> list[DetectItem | ServeError]:
        import torch

        with torch.inference_mode():
            candidates = self._detector.detect([image.pil for image in batch], batch[0].request.labels)
        return [self._item(image, boxes) for image, boxes in zip(batch, candidates, strict=True)]

    def _item(self, image: BatchImage[DetectRequest], candidates: list[ScoredBox]) -> DetectItem | ServeError:
        """The candidates above the thresholds, best first, clipped to the image."""
        request, detector = image.request, self._detector
        if not is_finite(candidates):  # NaN exceeds no threshold
            return not_finite(self._batcher.model, "image", image.index)
        box_threshold = detector.box_threshold if request.box_threshold is None else request.box_threshold
        text_threshold = detector.text_threshold if request.text_threshold is None else request.text_threshold
        kept = [box for box in candidates if box.score > box_threshold and box.text_score > text_threshold]
        kept.sort(key=lambda box: -box.score)
        detections = [_detection(box, image) for box in kept[: request.max_detections]]
        return DetectItem(**image.item_fields, detections=detections)


def _detection(candidate: ScoredBox, image: BatchImage[Any]) -> Detection:
    x0, y0, x1, y1 = candidate.box
    width, height = image.width, image.height
    box = _clip(x0, width), _clip(y0, height), _clip(x1, width), _clip(y1, height)
    return Detection(label=candidate.label, score=candidate.score, box=box)


def _clip(coordinate: float, side: int) -> float:
    return min(max(coordinate, 0.0), float(side))
