"""Florence-2: lines of text, and where each stands.

Source: arxiv.org/abs/2311.06242. After each line come eight tokens, the corners of a quadrangle in thousandths of the
picture's width and height.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from contract.tasks.ocr import OcrLine
from workers.engine import Device
from workers.engines.transformers_ocr.reader import Reader, Written
from workers.toolkit import reading_order
from workers.toolkit.pretrained import Checkpoint, TorchOptions

_TASK = "<OCR_WITH_REGION>"
_STEPS = 1000
_CORNERS = 8


class Florence2(Reader):
    """Reads in the order of its lines' places."""

    def __init__(self, checkpoint: Checkpoint, device: Device, options: TorchOptions) -> None:
        super().__init__(checkpoint, device, options)
        places = self.tokenizer.convert_tokens_to_ids([f"<loc_{step}>" for step in range(_STEPS)])
        self._places = {token: step for step, token in enumerate(places)}

    def inputs(self, images: Sequence[Image.Image]) -> Any:
        return self.processor(images=list(images), text=[_TASK] * len(images), return_tensors="pt")

    def lines(self, written: Written, width: int, height: int) -> tuple[str, list[OcrLine]]:
        lines: list[OcrLine] = []
        tokens: list[int] = []
        probabilities: list[float] = []
        places: list[int] = []
        for token, sure in zip(written.tokens, written.probabilities, strict=True):
            if token not in self._places:
                tokens.append(token)
                probabilities.append(sure)
                places.clear()
                continue
            places.append(self._places[token])
            if len(places) == _CORNERS:
                if text := self.decode(tokens):
                    polygon = reading_order.clip_polygon(_corners(places, width, height), width, height)
                    lines.append(OcrLine(text=text, score=self.score(tokens, probabilities), polygon=polygon))
                tokens, probabilities, places = [], [], []
        return reading_order.join_lines(lines)


def _corners(places: Sequence[int], width: int, height: int) -> reading_order.Polygon:
    """The middles of the steps that tokens name, in pixels."""
    xs, ys = places[0::2], places[1::2]
    return [((x + 0.5) * width / _STEPS, (y + 0.5) * height / _STEPS) for x, y in zip(xs, ys, strict=True)]
