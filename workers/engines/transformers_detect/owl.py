"""OWL-ViT and OWLv2: every label is a query of its own, and a box has the label whose query fits it best.

Source: arxiv.org/abs/2205.06230, arxiv.org/abs/2306.09683.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import Any, ClassVar

import torch
from PIL import Image

from contract.errors import ContextTooLong, UnsupportedFeature
from contract.tasks.detect import DetectRequest
from workers.engine import Device
from workers.engines.transformers_detect.detector import Detector, ScoredBox, named, no_prompt, sizes_of
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_LARGEST = 4
"""Times the side at which the model sees a picture: a larger one is scaled down to that before."""


class Owl(Detector):
    """Its threshold is that of the model card, low since it scores each label by itself."""

    features: ClassVar[frozenset[str]] = frozenset({"prompt"})
    box_threshold: ClassVar[float] = 0.1

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        self._name = checkpoint.spec.id
        self._processor = checkpoint.processor("AutoProcessor")
        self._model = checkpoint.model("AutoModelForZeroShotObjectDetection", device, options)
        self._limit: int = self._model.config.text_config.max_position_embeddings

    @property
    def pictures(self) -> Any:
        return self._processor.image_processor

    def check(self, request: DetectRequest) -> None:
        if not request.labels:
            raise no_prompt(self._name)
        if request.text_threshold is not None:
            raise UnsupportedFeature(
                f"{self._name} scores a label as a whole: leave `text_threshold` out, `box_threshold` is enough.",
                param="text_threshold",
            )
        for label in request.labels:
            tokens = len(self._processor.tokenizer(label)["input_ids"])
            if tokens > self._limit:
                raise ContextTooLong(
                    f"The label {shorten(label, 80)!r} has {tokens} tokens, and {self._name} reads {self._limit}: "
                    "shorten it.",
                    param="prompt",
                    details={"tokens": tokens, "limit": self._limit},
                )

    def look(self, images: Sequence[Image.Image], labels: Sequence[str]) -> list[list[ScoredBox]]:
        with torch.inference_mode():
            inputs = self._processor(
                images=[self._bearable(image) for image in images],
                text=[list(labels)] * len(images),
                return_tensors="pt",
            )
            outputs = self._model(**inputs.to(self._model.device, self._model.dtype))
            found = self._processor.image_processor.post_process_object_detection(
                outputs, threshold=-1.0, target_sizes=sizes_of(images)
            )
        return [named(one, labels) for one in found]

    def _bearable(self, image: Image.Image) -> Image.Image:
        """A picture that OWLv2's processor can take: it pads to a square and smoothes that in all its pixels.

        For a photograph of 24 megapixels that takes half a minute and gigabytes, and what is left of it is what is left
        of a smaller copy.
        """
        most = _LARGEST * max(self.pictures.size["height"], self.pictures.size["width"])
        if not self.pictures.do_pad or max(image.size) <= most:
            return image
        factor = most / max(image.size)
        size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
        return image.resize(size, Image.Resampling.BOX)
