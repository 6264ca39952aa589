"""GOT-OCR2: whole pages as plain text.

Source: arxiv.org/abs/2409.01704, huggingface.co/docs/transformers/model_doc/got_ocr2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from workers.engines.transformers_ocr.model import OcrModel


class GotOcr2(OcrModel):
    """The processor supplies the prompt; the end of the assistant's turn ends a text too."""

    def inputs(self, images: Sequence[Image.Image]) -> Any:
        return self.processor(images=list(images), return_tensors="pt")

    @property
    def end_tokens(self) -> set[int]:
        return super().end_tokens | {self.tokenizer.convert_tokens_to_ids("<|im_end|>")}
