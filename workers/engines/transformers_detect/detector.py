"""What all families of detectors have in common: images and labels in, scored boxes out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from PIL import Image

from contract.errors import InvalidField
from contract.tasks.detect import DetectRequest
from workers.engine import Device
from workers.toolkit.finite import is_finite
from workers.toolkit.image_processors import target_sizes
from workers.toolkit.pretrained import Checkpoint, TorchOptions


class ScoredBox(NamedTuple):
    """A candidate detection, before any threshold: `box` is (x0, y0, x1, y1) in pixels, `label` the best match.

    `score` and `text_score` are from 0 to 1. `text_score` says how well the label's best word matches; it is 1 in
    families that score a label as a whole.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]
    text_score: float = 1.0


_NOT_FINITE = ScoredBox("", math.nan, (math.nan,) * 4)
"""Replaces the candidates of an image for which the model computed NaN; transformers would drop them all."""


class Detector(ABC):
    """A loaded model of one family."""

    features: ClassVar[frozenset[str]] = frozenset()
    """The features of `TransformersDetect` that this family has."""
    processor_class: ClassVar[str] = "AutoProcessor"
    model_class: ClassVar[str] = "AutoModelForZeroShotObjectDetection"
    box_threshold: ClassVar[float] = 0.5
    """What a box's score must exceed when the request sets no `box_threshold`."""
    text_threshold: ClassVar[float] = 0.0
    """What a box's text score must exceed when the request sets no `text_threshold`."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self.name = checkpoint.spec.id
        self.processor = checkpoint.processor(self.processor_class)
        self.model = checkpoint.model(self.model_class, device, options)

    @property
    def image_processor(self) -> Any:
        """The part of the processor that resizes and normalises images."""
        return getattr(self.processor, "image_processor", self.processor)

    @abstractmethod
    def check(self, request: DetectRequest) -> None:
        """Raise a ServeError if the model cannot answer a request."""

    @abstractmethod
    def detect(self, images: Sequence[Image.Image], labels: Sequence[str]) -> list[list[ScoredBox]]:
        """All candidate boxes in each image, in no particular order. Runs in inference mode."""

    def predict(self, images: Sequence[Image.Image], **inputs: Any) -> Any:
        """The model's outputs for a batch; `inputs` go to the processor with the images."""
        batch = self.processor(images=list(images), return_tensors="pt", **inputs)
        return self.model(**batch.to(self.model.device, self.model.dtype))

    def scored_boxes(
        self, outputs: Any, images: Sequence[Image.Image], names: Sequence[str] | Mapping[int, str]
    ) -> list[list[ScoredBox]]:
        """The outputs as the processor decodes them; `names` maps class indices to labels."""
        decoded = self.image_processor.post_process_object_detection(
            outputs, threshold=-1.0, target_sizes=target_sizes(images)
        )
        return [
            _candidates(detections, names) if is_finite(logits.sigmoid()) and is_finite(boxes) else [_NOT_FINITE]
            for detections, logits, boxes in zip(decoded, outputs.logits, outputs.pred_boxes, strict=True)
        ]


def missing_prompt(name: str) -> InvalidField:
    """The error for a request that does not say what to look for."""
    return InvalidField(
        f"{name} finds what a text describes: say in `prompt` what to look for, "
        'such as "cat" or ["cat", "remote control"].',
        param="prompt",
    )


def _candidates(detections: dict[str, Any], names: Sequence[str] | Mapping[int, str]) -> list[ScoredBox]:
    rows = zip(detections["labels"].tolist(), detections["scores"].tolist(), detections["boxes"].tolist(), strict=True)
    return [ScoredBox(names[label], score, tuple(box)) for label, score, box in rows]
