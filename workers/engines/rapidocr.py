"""Reads text in pictures with RapidOCR, whose models come with the package: no download, no GPU.

Source: github.com/RapidAI/RapidOCR; models PP-OCRv6 (detection and recognition, some fifty languages in one model).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import UnsupportedFeature
from contract.tasks.ocr import OCR, OcrItem, OcrLine, OcrRequest, OcrResponse
from workers.engine import Call, Device, Engine, Options, Output, serves
from workers.toolkit import reading_order
from workers.toolkit.image_batches import BatchImage, ImageBatcher

_LONGEST_SHAPE = 4
"""How many times longer than wide a picture may be: the detector enlarges the short side, and the long one with it."""
_ISO_639_1 = {"ch": "zh", "chinese_cht": "zh", "japan": "ja", "rs_latin": "sr", "french": "fr", "german": "de"}


class RapidOptions(Options):
    """`threads` of the CPU for one picture (all that there are, up to eight); lines below `min_score` are left out."""

    threads: int | None = Field(None, ge=1)
    min_score: float = Field(0.5, ge=0, le=1)


class RapidOcr(Engine):
    """Text in pictures, line by line, with RapidOCR; runs on the CPU, models included."""

    Options: ClassVar[type[Options]] = RapidOptions
    features: ClassVar[frozenset[str]] = frozenset({"languages"})
    imports: ClassVar[tuple[str, ...]] = ("rapidocr:RapidOCR", "onnxruntime", "PIL.Image", "PIL.ImageOps")
    devices: ClassVar[tuple[str, ...]] = ("cpu",)

    def load(self, spec: ModelSpec, device: Device) -> None:  # noqa: ARG002 - it runs on the CPU alone
        """Load detector, classifier (upside down or not) and recognizer."""
        from rapidocr import RapidOCR

        options = RapidOptions.model_validate(spec.options)
        self._pictures = ImageBatcher(spec.id, batch_size=1)
        self._reader = RapidOCR(
            params={
                "Global.log_level": "error",  # it warns of every picture without text
                "Global.text_score": options.min_score,
                "EngineConfig.onnxruntime.intra_op_num_threads": options.threads or _processors(),
            }
        )
        self._languages = {
            _ISO_639_1.get(name, name) for name in RapidOCR.list_supported_langs("rec", "PP-OCRv6", "small")
        }
        for part in (self._reader._load_det_model, self._reader._load_cls_model, self._reader._load_rec_model):
            part()  # else the first request would wait for them

    @serves(OCR)
    def read(self, calls: list[Call[OcrRequest]]) -> Iterator[tuple[Call[OcrRequest], Output]]:
        """Read picture after picture; a batch would be no faster."""
        yield from self._pictures.answer(calls, self._read, OcrResponse, check=self._check_languages)

    def _check_languages(self, picture: BatchImage[OcrRequest]) -> None:
        for language in picture.request.languages or ():
            if language.lower().replace("_", "-").partition("-")[0] not in self._languages:
                known = f"It reads, all without a hint (ISO 639-1): {', '.join(sorted(self._languages))}."
                raise UnsupportedFeature(
                    f"{self._pictures.model} does not read {language!r}. {known}", param="languages"
                )

    def _read(self, pictures: list[BatchImage[OcrRequest]]) -> list[OcrItem]:
        [picture] = pictures
        found = self._reader(_not_too_long(picture.pil))
        lines = [
            OcrLine(
                text=text,
                score=float(score),
                polygon=reading_order.clip_polygon(polygon, picture.width, picture.height),
            )
            for text, score, polygon in zip(found.txts or (), found.scores or (), _polygons(found), strict=True)
        ]
        text, ordered = reading_order.join_lines(lines)
        return [OcrItem(**picture.item_fields, text=text, lines=ordered)]


def _polygons(found: Any) -> list[reading_order.Polygon]:
    return [] if found.boxes is None else found.boxes.tolist()


def _not_too_long(image: Any) -> Any:
    """A strip gets a margin on its right or below, which moves no coordinate."""
    from PIL import Image

    shortest = -(-max(image.size) // _LONGEST_SHAPE)
    if min(image.size) >= shortest:
        return image
    canvas = Image.new("RGB", (max(image.width, shortest), max(image.height, shortest)), image.getpixel((0, 0)))
    canvas.paste(image)
    return canvas


def _processors() -> int:
    """Those that this process may use; more than eight are no faster on one picture."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, 8)
