"""PaddleOCR-VL: whole pages, or parts of them, in more than a hundred languages.

Source: arxiv.org/abs/2510.14528, huggingface.co/docs/transformers/model_doc/paddleocr_vl.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from workers.engines.transformers_ocr.model import OcrModel

_MESSAGE = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "OCR:"}]}


class PaddleOcrVl(OcrModel):
    """Prompted with a chat template. The number of image tokens depends on the image's size, hence the padding."""

    def inputs(self, images: Sequence[Image.Image]) -> Any:
        prompt = self.processor.apply_chat_template([_MESSAGE], add_generation_prompt=True, tokenize=False)
        return self.processor(
            images=list(images), text=[prompt] * len(images), padding=True, padding_side="left", return_tensors="pt"
        )
