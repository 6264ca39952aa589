"""Florence-2: lines of text with their positions.

Source: arxiv.org/abs/2311.06242. After each line the model writes eight location tokens: the corners of a
quadrilateral, in thousandths of the image's width and height.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from contract.tasks.ocr import OcrLine
from workers.engine import Device
from workers.engines.transformers_ocr.model import GenerationTrace, OcrModel
from workers.toolkit import reading_order
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_TASK = "<OCR_WITH_REGION>"
_LOCATION_BINS = 1000
_TOKENS_PER_QUADRILATERAL = 8


class Florence2(OcrModel):
    """Lines are sorted into reading order by their positions."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        super().__init__(checkpoint, device, options)
        names = [f"<loc_{bin_}>" for bin_ in range(_LOCATION_BINS)]
        location_tokens = self.tokenizer.convert_tokens_to_ids(names)
        self._bins = {token: bin_ for bin_, token in enumerate(location_tokens)}

    def inputs(self, images: Sequence[Image.Image]) -> Any:
        return self.processor(images=list(images), text=[_TASK] * len(images), return_tensors="pt")

    def lines(self, trace: GenerationTrace, width: int, height: int) -> tuple[str, list[OcrLine]]:
        lines: list[OcrLine] = []
        tokens: list[int] = []
        probabilities: list[float] = []
        bins: list[int] = []
        for token, probability in zip(trace.tokens, trace.probabilities, strict=True):
            if token not in self._bins:
                tokens.append(token)
                probabilities.append(probability)
                bins.clear()  # of an incomplete quadrilateral
                continue
            bins.append(self._bins[token])
            if len(bins) == _TOKENS_PER_QUADRILATERAL:
                if text := self.decode(tokens):
                    polygon = reading_order.clip_polygon(_to_pixels(bins, width, height), width, height)
                    lines.append(OcrLine(text=text, score=self.score(tokens, probabilities), polygon=polygon))
                tokens, probabilities, bins = [], [], []
        return reading_order.join_lines(lines)


def _to_pixels(bins: Sequence[int], width: int, height: int) -> reading_order.Polygon:
    """The centres of location bins (x, y, x, y, …) as points in pixels."""
    xs, ys = bins[0::2], bins[1::2]
    return [
        ((x + 0.5) * width / _LOCATION_BINS, (y + 0.5) * height / _LOCATION_BINS) for x, y in zip(xs, ys, strict=True)
    ]
