"""Detectors with a fixed set of classes: DETR and its relatives, RT-DETR, Table Transformer, YOLOS.

Source: huggingface.co/docs/transformers/tasks/object_detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from PIL import Image

from contract.errors import UnsupportedFeature
from contract.tasks.detect import DetectRequest
from workers.engine import Device
from workers.engines.transformers_detect.detector import Detector, ScoredBox
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_CLASSES_IN_ERRORS = 20
"""How many class names an error message lists."""


class ClosedSetDetector(Detector):
    """Finds all classes that it was trained for and takes no prompt. Its threshold is the default of transformers."""

    processor_class: ClassVar[str] = "AutoImageProcessor"
    model_class: ClassVar[str] = "AutoModelForObjectDetection"

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        super().__init__(checkpoint, device, options)
        self._classes: dict[int, str] = self.model.config.id2label

    def check(self, request: DetectRequest) -> None:
        """Raise UnsupportedFeature for a `prompt` or a `text_threshold`."""
        for field in ("prompt", "text_threshold"):
            if getattr(request, field) is not None:
                names = list(self._classes.values())
                ellipsis = ["…"] if len(names) > _CLASSES_IN_ERRORS else []
                listed = ", ".join(names[:_CLASSES_IN_ERRORS] + ellipsis)
                raise UnsupportedFeature(
                    f"{self.name} always looks for all {len(names)} classes that it was trained on ({listed}). Leave "
                    f"`{field}` out, or use a model that takes a prompt, such as Grounding DINO.",
                    param=field,
                )

    def detect(self, images: Sequence[Image.Image], labels: Sequence[str]) -> list[list[ScoredBox]]:  # noqa: ARG002
        return self.scored_boxes(self.predict(images), images, self._classes)
