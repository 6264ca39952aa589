"""TrOCR: a picture of one line of text, printed or by hand.

Source: arxiv.org/abs/2109.10282. Pages must be cut into lines first; a model such as GOT-OCR2 reads them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from contract.errors import LoadFailed
from contract.tasks.ocr import OcrLine
from workers.engine import Device
from workers.engines.transformers_ocr.reader import Reader, Written
from workers.toolkit.pretrained import Checkpoint, TorchOptions


class TrOcr(Reader):
    """Any encoder of pictures with a decoder of text that needs no prompt."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        if checkpoint.config.get("encoder", {}).get("model_type") == "donut-swin":
            raise LoadFailed(
                f"{checkpoint.spec.source} is a Donut or Nougat, which is asked by a prompt of its own for each task; "
                "this engine reads with TrOCR. Name a model such as microsoft/trocr-base-printed."
            )
        super().__init__(checkpoint, device, options)

    def inputs(self, images: Sequence[Image.Image]) -> Any:
        return self.processor(images=list(images), return_tensors="pt")

    def lines(self, written: Written, width: int, height: int) -> tuple[str, list[OcrLine]]:
        text = self.decode(written.tokens)
        if not text:
            return "", []
        corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
        return text, [OcrLine(text=text, score=self.score(written.tokens, written.probabilities), polygon=corners)]
