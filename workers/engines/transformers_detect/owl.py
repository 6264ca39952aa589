"""OWL-ViT and OWLv2: every label is a query of its own, and a box gets the label whose query matches it best.

Source: arxiv.org/abs/2205.06230, arxiv.org/abs/2306.09683.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import ClassVar

import torch
from PIL import Image

from contract.errors import ContextTooLong, UnsupportedFeature
from contract.tasks.detect import DetectRequest
from workers.engine import Device
from workers.engines.transformers_detect.detector import Detector, ScoredBox, missing_prompt
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_MAX_OVERSIZE = 4
"""OWLv2: images more than this many times as long as the model's input side are scaled down to that first."""


class Owl(Detector):
    """Its threshold is that of the model card: low, because each label is scored independently."""

    features: ClassVar[frozenset[str]] = frozenset({"prompt"})
    box_threshold: ClassVar[float] = 0.1

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        super().__init__(checkpoint, device, options)
        self._context: int = self.model.config.text_config.max_position_embeddings

    def check(self, request: DetectRequest) -> None:
        """Raise a ServeError if there is no label or one is too long, or for a `text_threshold`."""
        if not request.labels:
            raise missing_prompt(self.name)
        if request.text_threshold is not None:
            raise UnsupportedFeature(
                f"{self.name} scores a label as a whole: leave `text_threshold` out, `box_threshold` is enough.",
                param="text_threshold",
            )
        for label in request.labels:
            tokens = len(self.processor.tokenizer(label)["input_ids"])
            if tokens > self._context:
                raise ContextTooLong(
                    f"The label {shorten(label, 80)!r} has {tokens} tokens, and {self.name} reads at most "
                    f"{self._context}. Shorten it.",
                    param="prompt",
                    details={"tokens": tokens, "limit": self._context},
                )

    def detect(self, images: Sequence[Image.Image], labels: Sequence[str]) -> list[list[ScoredBox]]:
        inputs = self.processor(text=[list(labels)] * len(images), return_tensors="pt").to(self.model.device)
        # One image at a time: its square of up to 3840 x 3840 pixels takes 1.3 GiB.
        pixels = [
            self.image_processor(self._downscaled(image), return_tensors="pt")["pixel_values"] for image in images
        ]
        outputs = self.model(**inputs, pixel_values=torch.cat(pixels).to(self.model.device, self.model.dtype))
        return self.scored_boxes(outputs, images, labels)

    def _downscaled(self, image: Image.Image) -> Image.Image:
        """The image, small enough for OWLv2's processor, which pads to a square and blurs it at full size.

        That takes half a minute and gigabytes for a photograph of 24 megapixels, and leaves the model with the same
        pixels as a smaller copy does.
        """
        size = self.image_processor.size
        max_side = _MAX_OVERSIZE * max(size["height"], size["width"])
        if not self.image_processor.do_pad or max(image.size) <= max_side:
            return image
        scale = max_side / max(image.size)
        scaled_size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        return image.resize(scaled_size, Image.Resampling.BOX)
