"""detect: finds things in a picture, each with a box, a label and a score."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator

from contract.tasks import Task
from contract.tasks.vision import Box, VisionItem, VisionRequest, VisionResponse

MAX_LABELS = 100


class DetectRequest(VisionRequest):
    """`prompt` is what to look for: a label, or several as a list; models with classes of their own take none.

    `box_threshold` is the least score of a box, `text_threshold` that of the words which make its label;
    `max_detections` keeps the best. `points` asks for points on things instead of boxes.
    """

    prompt: str | list[str] | None = None
    box_threshold: float | None = Field(None, ge=0, le=1)
    text_threshold: float | None = Field(None, ge=0, le=1)
    max_detections: int | None = Field(None, ge=1)
    points: bool | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _is_labels(cls, value: Any) -> Any:
        labels = [value] if isinstance(value, str) else value
        if labels is None:
            return None
        if not isinstance(labels, list) or not all(isinstance(label, str) and label.strip() for label in labels):
            raise ValueError('write a label, or a list of labels such as ["cat", "remote control"]; none may be empty')
        if not 0 < len(labels) <= MAX_LABELS:
            raise ValueError(f"give from 1 to {MAX_LABELS} labels")
        return value

    @property
    def labels(self) -> list[str]:
        """The labels to look for."""
        return [self.prompt] if isinstance(self.prompt, str) else list(self.prompt or [])

    def needs(self) -> frozenset[str]:
        needs = {name for name in ("prompt", "text_threshold") if getattr(self, name) is not None}
        return frozenset(needs | ({"points"} if self.points else set()))


class Detection(BaseModel):
    """One thing: what it is, how sure the model is (0 to 1), and where."""

    label: str
    score: float
    box: Box


class PointedAt(BaseModel):
    """A point `[x, y]` on one thing."""

    label: str
    point: tuple[float, float]


class DetectItem(VisionItem):
    """`detections` come best first; `points` are there if the request asked for them."""

    detections: list[Detection]
    points: list[PointedAt] | None = None


class DetectResponse(VisionResponse):
    data: list[DetectItem]


DETECT = Task("detect", "/v1/vision/detect", DetectRequest, DetectResponse)
