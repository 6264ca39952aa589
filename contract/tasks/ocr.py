"""ocr: reads the text in an image, line by line, in reading order."""

from __future__ import annotations

from contract.lazy_model import LazyModel
from contract.limits import Items, Name
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.vision import VisionItem, VisionRequest, VisionResponse


class OcrRequest(VisionRequest):
    """`languages` are hints (ISO 639-1, such as `en`); a request with hints that the engine cannot use is rejected."""

    languages: Items[Name] | None = None

    def required_features(self) -> frozenset[str]:
        return frozenset({"languages"}) if self.languages else frozenset()


class OcrLine(LazyModel):
    """One line of text, its score (0 to 1) and its corners `[[x, y], …]` in pixels, clockwise from the top left.

    `polygon` is empty if the model does not locate the text.
    """

    text: str
    score: float
    polygon: list[tuple[float, float]]


class OcrItem(VisionItem):
    """`lines` is empty for models that return only plain text, such as chat models.

    `truncated`: the model reached its output limit before the end of the text.
    """

    text: str
    lines: list[OcrLine]
    truncated: bool = False


class OcrResponse(VisionResponse):
    data: list[OcrItem]


OCR = Task(
    "ocr",
    "/v1/vision/ocr",
    OcrRequest,
    OcrResponse,
    outputs=("text",),
    example={"image": SAMPLE_IMAGE},
    title="OCR",
)
