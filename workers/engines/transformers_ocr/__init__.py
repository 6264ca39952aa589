"""Reads text in pictures with transformers: TrOCR, GOT-OCR2, Florence-2, PaddleOCR-VL.

`reader` says what a family is and writes token by token; the families are a file each. Nothing heavy is imported before
`load`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.ocr import OCR, OcrItem, OcrRequest, OcrResponse
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.image_batches import BatchImage, ImageBatcher, size_key
from workers.toolkit.pretrained import TorchOptions, checkpoint, set_up_torch

if TYPE_CHECKING:
    from workers.engines.transformers_ocr.reader import Reader, Written

_HERE = "workers.engines.transformers_ocr"
_FAMILIES = {
    "vision-encoder-decoder": "trocr:TrOcr",
    "got_ocr2": "got_ocr2:GotOcr2",
    "florence2": "florence2:Florence2",
    "paddleocr_vl": "paddleocr_vl:PaddleOcrVl",
}
"""Our class for each of transformers' `model_type`s."""


class OcrOptions(TorchOptions):
    """`batch_size` is how many pictures are read at once; `max_tokens` is the longest text of one picture."""

    batch_size: int = Field(8, ge=1)
    max_tokens: int = Field(4096, ge=1)


class TransformersOcr(Engine):
    """Text in pictures with TrOCR (one line), GOT-OCR2, PaddleOCR-VL (pages) or Florence-2 (lines with places)."""

    Options: ClassVar[type[engine.Options]] = OcrOptions
    model_types: ClassVar[tuple[str, ...]] = tuple(_FAMILIES)
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        *(f"{_HERE}.{family.partition(':')[0]}" for family in _FAMILIES.values()),
        "transformers:AutoProcessor",
        "transformers:AutoModelForImageTextToText",
        "transformers:VisionEncoderDecoderModel",
        "transformers.models.trocr.modeling_trocr",
        "transformers.models.florence2.modeling_florence2",
        "transformers.models.got_ocr2.modeling_got_ocr2",
        "transformers.models.paddleocr_vl.modeling_paddleocr_vl",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        options = OcrOptions.model_validate(spec.options)
        set_up_torch(options)
        found = checkpoint(spec, type(self))
        self._longest = options.max_tokens
        family = _FAMILIES[found.model_type]
        self._reader: Reader = pkgutil.resolve_name(f"{_HERE}.{family}")(found, device, options)
        self._pictures = ImageBatcher(spec.id, options.batch_size, group_by=self._alike)

    @serves(OCR, max_batch=16)
    def read(self, calls: list[Call[OcrRequest]]) -> Iterator[tuple[Call[OcrRequest], Output]]:
        """Read the calls' pictures together; the text of one whose client leaves is not written to its end."""
        yield from self._pictures.answer(calls, self._read, OcrResponse)

    def _alike(self, picture: BatchImage[Any]) -> Hashable:
        """Pictures that the processor scales to one size make prompts of one length, which need no padding."""
        return None if self._reader.one_size else size_key(picture)

    def _read(self, pictures: list[BatchImage[OcrRequest]]) -> list[OcrItem | ServeError]:
        calls = [picture.call for picture in pictures]
        written = self._reader.write([picture.pil for picture in pictures], calls, self._longest)
        return [self._item(picture, one) for picture, one in zip(pictures, written, strict=True)]

    def _item(self, picture: BatchImage[OcrRequest], written: Written) -> OcrItem:
        text, lines = self._reader.lines(written, picture.width, picture.height)
        return OcrItem(**picture.item_fields, text=text, lines=lines, truncated=not written.complete)
