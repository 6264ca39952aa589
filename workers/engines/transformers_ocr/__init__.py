"""Text recognition with generative models of transformers: TrOCR, GOT-OCR2, Florence-2, PaddleOCR-VL.

`model` defines what a family is and generates the text; each family has a file of its own. Nothing heavy is imported
before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.ocr import OCR, OcrItem, OcrRequest, OcrResponse
from workers import engine
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit.finite import is_finite, not_finite
from workers.toolkit.image_batches import BatchImage, ImageBatcher
from workers.toolkit.image_processors import without_padding
from workers.toolkit.model_families import ModelFamilies, open_checkpoint
from workers.toolkit.pretrained import TorchOptions

if TYPE_CHECKING:
    from workers.engines.transformers_ocr.model import GenerationTrace, OcrModel

_FAMILIES = ModelFamilies(
    __name__,
    {
        "trocr:TrOcr": ("vision-encoder-decoder",),
        "got_ocr2:GotOcr2": ("got_ocr2",),
        "florence2:Florence2": ("florence2",),
        "paddleocr_vl:PaddleOcrVl": ("paddleocr_vl",),
    },
)


class OcrOptions(TorchOptions):
    """`batch_size` is the maximum number of images in one forward pass; `max_tokens` limits the text of one image."""

    batch_size: int = Field(8, ge=1)
    max_tokens: int = Field(4096, ge=1)


class TransformersOcr(Engine):
    """Text in images with TrOCR (single lines), GOT-OCR2, PaddleOCR-VL (pages) or Florence-2 (lines with positions)."""

    extras: ClassVar[tuple[str, ...]] = ("chat", "vision")
    Options: ClassVar[type[engine.Options]] = OcrOptions
    model_types: ClassVar[tuple[str, ...]] = _FAMILIES.model_types
    imports: ClassVar[tuple[str, ...]] = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        *_FAMILIES.modules,
        "transformers:AutoProcessor",
        "transformers:AutoModelForImageTextToText",
        "transformers:VisionEncoderDecoderModel",
        "transformers.models.trocr.modeling_trocr",
        "transformers.models.florence2.modeling_florence2",
        "transformers.models.got_ocr2.modeling_got_ocr2",
        "transformers.models.paddleocr_vl.modeling_paddleocr_vl",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        """Load model and processor. Raises LoadFailed for a checkpoint of another type."""
        options, checkpoint = open_checkpoint(spec, type(self), OcrOptions)
        self._max_tokens = options.max_tokens
        self._model: OcrModel = _FAMILIES.find(checkpoint.model_type)(checkpoint, device, options)
        # Images that the processor gives one size also make prompts of one length, which need no padding either.
        group = without_padding(self._model.processor.image_processor)
        self._batcher = ImageBatcher(spec.id, options.batch_size, group_by=group)

    @serves(OCR, max_batch=16)
    def read(self, calls: list[Call[OcrRequest]]) -> Iterator[tuple[Call[OcrRequest], Output]]:
        """Read the images of all calls in shared batches; generation stops early for calls that are cancelled."""
        yield from self._batcher.answer(calls, self._read_batch, OcrResponse)

    def _read_batch(self, batch: list[BatchImage[OcrRequest]]) -> list[OcrItem | ServeError]:
        calls = [image.call for image in batch]
        traces = self._model.generate([image.pil for image in batch], calls, self._max_tokens)
        return [self._item(image, trace) for image, trace in zip(batch, traces, strict=True)]

    def _item(self, image: BatchImage[OcrRequest], trace: GenerationTrace) -> OcrItem | ServeError:
        if not is_finite(trace.probabilities):  # even if no text came of it
            return not_finite(self._batcher.model, "image", image.index)
        text, lines = self._model.lines(trace, image.width, image.height)
        return OcrItem(**image.item_fields, text=text, lines=lines, truncated=not trace.complete)
