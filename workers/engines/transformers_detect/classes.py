"""Detectors that know their classes: DETR and its kin, RT-DETR, Table Transformer, YOLOS.

Source: huggingface.co/docs/transformers/tasks/object_detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from contract.errors import UnsupportedFeature
from contract.tasks.detect import DetectRequest
from workers.engine import Device
from workers.engines.transformers_detect.detector import Detector, ScoredBox, named, sizes_of
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_NAMED_IN_AN_ERROR = 20


class Classes(Detector):
    """Takes no labels; its threshold is transformers' own for these models."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self._name = checkpoint.spec.id
        self._processor = checkpoint.processor("AutoImageProcessor")
        self._model = checkpoint.model("AutoModelForObjectDetection", device, options)
        self._classes: dict[int, str] = self._model.config.id2label

    @property
    def pictures(self) -> Any:
        return self._processor

    def check(self, request: DetectRequest) -> None:
        for field in ("prompt", "text_threshold"):
            if getattr(request, field) is not None:
                names = list(self._classes.values())
                more = ["…"] if len(names) > _NAMED_IN_AN_ERROR else []
                some = ", ".join(names[:_NAMED_IN_AN_ERROR] + more)
                raise UnsupportedFeature(
                    f"{self._name} looks for the {len(self._classes)} classes that it was trained for ({some}) and "
                    f"for all of them at once: leave `{field}` out, or ask a model such as Grounding DINO.",
                    param=field,
                )

    def look(self, images: Sequence[Image.Image], labels: Sequence[str]) -> list[list[ScoredBox]]:  # noqa: ARG002
        with torch.inference_mode():
            inputs = self._processor(images=list(images), return_tensors="pt")
            outputs = self._model(**inputs.to(self._model.device, self._model.dtype))
            found = self._processor.post_process_object_detection(
                outputs, threshold=-1.0, target_sizes=sizes_of(images)
            )
        return [named(one, self._classes) for one in found]
