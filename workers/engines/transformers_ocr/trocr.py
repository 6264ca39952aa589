"""TrOCR: images of one line of text, printed or handwritten.

Source: arxiv.org/abs/2109.10282. Pages must be cut into lines first; models such as GOT-OCR2 read whole pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from contract.errors import LoadFailed
from contract.tasks.ocr import OcrLine
from workers.engine import Device
from workers.engines.transformers_ocr.model import GenerationTrace, OcrModel
from workers.toolkit.pretrained import Checkpoint, TorchOptions


class TrOcr(OcrModel):
    """Any image encoder with a text decoder that needs no prompt. A line's polygon is the whole image."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        if checkpoint.config.get("encoder", {}).get("model_type") == "donut-swin":
            raise LoadFailed(
                f"{checkpoint.spec.source} is a Donut or Nougat model, which needs a prompt for each task. This engine "
                "reads with TrOCR: use a model such as microsoft/trocr-base-printed."
            )
        super().__init__(checkpoint, device, options)

    def inputs(self, images: Sequence[Image.Image]) -> Any:
        return self.processor(images=list(images), return_tensors="pt")

    def lines(self, trace: GenerationTrace, width: int, height: int) -> tuple[str, list[OcrLine]]:
        text = self.decode(trace.tokens)
        if not text:
            return "", []
        polygon = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
        return text, [OcrLine(text=text, score=self.score(trace.tokens, trace.probabilities), polygon=polygon)]
