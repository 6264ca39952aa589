"""Text recognition with RapidOCR on the CPU. Its models are part of the package: nothing is downloaded.

Source: github.com/RapidAI/RapidOCR; models PP-OCRv6 (detection and recognition, some fifty languages in one model).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import BadImage, UnsupportedFeature
from contract.tasks.ocr import OCR, OcrItem, OcrLine, OcrRequest, OcrResponse
from workers.engine import Call, Device, Engine, Options, Output, serves
from workers.toolkit import reading_order
from workers.toolkit.image_batches import BatchImage, ImageBatcher

if TYPE_CHECKING:
    from PIL import Image

_MAX_ASPECT_RATIO = 4
"""Images that are longer than this get a margin: the detector enlarges the short side, and the long side with it."""
_MAX_SIDE = 2000
"""RapidOCR scales longer images down to this (`Global.max_side_len`); strips are scaled before they get a margin."""
_MIN_STRIP_SIDE = 16
"""Below this many pixels, the text in a strip that was scaled down cannot be read."""
_MAX_THREADS = 8
"""More threads do not read an image any faster."""
_ISO_639_1 = {"ch": "zh", "chinese_cht": "zh", "japan": "ja", "rs_latin": "sr", "french": "fr", "german": "de"}
"""RapidOCR's own language names that are not ISO 639-1 codes."""


class RapidOptions(Options):
    """`threads`: CPU threads for one image (null: all available, at most eight). `min_score`: drop lines below it."""

    threads: int | None = Field(None, ge=1)
    min_score: float = Field(0.5, ge=0, le=1)


class RapidOcr(Engine):
    """Text in images, line by line, with RapidOCR. Runs on the CPU and brings its own models."""

    extras: ClassVar[tuple[str, ...]] = ("ocr",)
    Options: ClassVar[type[Options]] = RapidOptions
    features: ClassVar[frozenset[str]] = frozenset({"languages"})
    imports: ClassVar[tuple[str, ...]] = ("rapidocr:RapidOCR", "onnxruntime", "PIL.Image", "PIL.ImageOps")
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    needs_source: ClassVar[bool] = False

    def load(self, spec: ModelSpec, device: Device) -> None:  # noqa: ARG002 - it runs on the CPU only
        """Load the detector, the classifier (upside down or not) and the recogniser.

        The classifier stays on: of 72 lines of digits (version 3.10), all were read with it and without it, and of 72
        that were upside down, 69 with it and 2 without it.
        """
        from rapidocr import RapidOCR

        options = RapidOptions.model_validate(spec.options)
        self._batcher = ImageBatcher(spec.id, batch_size=1)
        self._ocr = RapidOCR(
            params={
                "Global.log_level": "error",  # it warns about every image without text
                "Global.text_score": options.min_score,
                "EngineConfig.onnxruntime.intra_op_num_threads": options.threads or _available_threads(),
            }
        )
        self._languages = {
            _ISO_639_1.get(name, name) for name in RapidOCR.list_supported_langs("rec", "PP-OCRv6", "small")
        }
        # RapidOCR loads its models lazily: without this the first request would wait for them.
        for load_model in (self._ocr._load_det_model, self._ocr._load_cls_model, self._ocr._load_rec_model):
            load_model()

    @serves(OCR)
    def read(self, calls: list[Call[OcrRequest]]) -> Iterator[tuple[Call[OcrRequest], Output]]:
        """Read one image after another; batches would not be faster."""
        yield from self._batcher.answer(calls, self._read_batch, OcrResponse, check=self._check)

    def _check(self, image: BatchImage[OcrRequest]) -> None:
        self._check_languages(image)
        longer, shorter = max(image.pil.size), min(image.pil.size)
        max_length = max(_MAX_SIDE, shorter * _MAX_SIDE // _MIN_STRIP_SIDE)
        if longer > max_length:
            raise BadImage(
                f"{self._batcher.model} reads images at up to {_MAX_SIDE} pixels, at which this strip of "
                f"{image.width}x{image.height} is too narrow. Split it into parts of at most {max_length} pixels."
            )

    def _check_languages(self, image: BatchImage[OcrRequest]) -> None:
        for language in image.request.languages or ():
            if language.lower().replace("_", "-").partition("-")[0] not in self._languages:
                supported = ", ".join(sorted(self._languages))
                raise UnsupportedFeature(
                    f"{self._batcher.model} does not read {language!r}. It reads these languages (ISO 639-1), without "
                    f"a hint: {supported}.",
                    param="languages",
                )

    def _read_batch(self, batch: list[BatchImage[OcrRequest]]) -> list[OcrItem]:
        [image] = batch
        pixels, scale = _prepared(image.pil)
        result = self._ocr(pixels)
        polygons = [] if result.boxes is None else (result.boxes / scale).tolist()
        lines = [
            OcrLine(
                text=text, score=float(score), polygon=reading_order.clip_polygon(polygon, image.width, image.height)
            )
            for text, score, polygon in zip(result.txts or (), result.scores or (), polygons, strict=True)
        ]
        text, ordered_lines = reading_order.join_lines(lines)
        return [OcrItem(**image.item_fields, text=text, lines=ordered_lines)]


def _prepared(image: Image.Image) -> tuple[Image.Image, float]:
    """The image for RapidOCR, and by how much it was scaled.

    A narrow strip is extended to an aspect ratio of 4, to the right or below, so that coordinates stay the same.
    """
    longer = max(image.size)
    if min(image.size) >= -(-longer // _MAX_ASPECT_RATIO):
        return image, 1.0
    scale = min(1.0, _MAX_SIDE / longer)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), reducing_gap=3)
    return _with_margin(image), scale


def _with_margin(image: Image.Image) -> Image.Image:
    """The strip, at the top left of an image with an aspect ratio of 4."""
    from PIL import Image

    min_side = -(-max(image.size) // _MAX_ASPECT_RATIO)
    canvas = Image.new("RGB", (max(image.width, min_side), max(image.height, min_side)), image.getpixel((0, 0)))
    canvas.paste(image)
    return canvas


def _available_threads() -> int:
    """How many CPUs this process may use, up to `_MAX_THREADS`."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, _MAX_THREADS)
