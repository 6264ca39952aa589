"""GOT-OCR2: whole pages as plain text.

Source: arxiv.org/abs/2409.01704, huggingface.co/docs/transformers/model_doc/got_ocr2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from workers.engines.transformers_ocr.reader import PageReader


class GotOcr2(PageReader):
    """The processor writes the prompt; a text ends with the end of the assistant's turn."""

    def inputs(self, images: Sequence[Image.Image]) -> Any:
        return self.processor(images=list(images), return_tensors="pt")

    @property
    def ends(self) -> set[int]:
        return super().ends | {self.tokenizer.convert_tokens_to_ids("<|im_end|>")}
