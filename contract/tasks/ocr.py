"""ocr: reads the text in a picture, line by line, in reading order."""

from __future__ import annotations

from pydantic import BaseModel

from contract.tasks import Task
from contract.tasks.vision import VisionItem, VisionRequest, VisionResponse


class OcrRequest(VisionRequest):
    """`languages` are hints (ISO 639-1, such as `en`); an engine that has one model for all ignores none silently."""

    languages: list[str] | None = None

    def required_features(self) -> frozenset[str]:
        return frozenset({"languages"}) if self.languages else frozenset()


class OcrLine(BaseModel):
    """One line of text, its confidence (0 to 1) and its corners `[[x, y], …]` in pixels, clockwise from top left.

    `polygon` is empty where a model says what is written but not where.
    """

    text: str
    score: float
    polygon: list[tuple[float, float]]


class OcrItem(VisionItem):
    """`lines` is empty where a model says what is written and nothing more, as one that is asked through chat does.

    `truncated`: the model reached the longest answer that it gives before the end of the text.
    """

    text: str
    lines: list[OcrLine]
    truncated: bool = False


class OcrResponse(VisionResponse):
    data: list[OcrItem]


OCR = Task("ocr", "/v1/vision/ocr", OcrRequest, OcrResponse)
