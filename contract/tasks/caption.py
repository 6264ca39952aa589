"""caption: describes an image in one sentence."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.limits import Text
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.vision import VisionItem, VisionRequest, VisionResponse


class CaptionRequest(VisionRequest):
    """`prompt` is the beginning of the caption or, for a chat model, the question; `max_tokens` limits its length.

    `length` chooses among the kinds of caption that some models offer.
    """

    prompt: Text | None = Field(None, min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    length: Literal["short", "normal", "long"] | None = None

    def required_features(self) -> frozenset[str]:
        return frozenset({"length"}) if self.length else frozenset()


class CaptionItem(VisionItem):
    """`text` is the whole caption, including the beginning that the request gave."""

    text: str


class CaptionResponse(VisionResponse):
    data: list[CaptionItem]


CAPTION = Task(
    "caption", "/v1/vision/caption", CaptionRequest, CaptionResponse, outputs=("text",), example={"image": SAMPLE_IMAGE}
)
