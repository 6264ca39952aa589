"""detect: finds things in a picture, each with a box, a label and a score."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, Field, field_validator

from contract.tasks import Task
from contract.tasks.vision import Box, VisionItem, VisionRequest, VisionResponse

MAX_LABELS = 100


class DetectRequest(VisionRequest):
    """`prompt` is what to look for: a label, several as a list, or several in one text, each ended by a full stop.

    Models with classes of their own take none. `box_threshold` is what the score of a box must exceed, and
    `text_threshold` what that of its label's best word must exceed, else the box is left out; `max_detections` keeps
    the best. `points` asks for points on things instead of boxes.
    """

    prompt: str | list[str] | None = None
    box_threshold: float | None = Field(None, ge=0, le=1)
    text_threshold: float | None = Field(None, ge=0, le=1)
    max_detections: int | None = Field(None, ge=1)
    points: bool | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _is_labels(cls, value: Any) -> Any:
        if value is None:
            return None
        labels = _split(value) if isinstance(value, str) else value
        if not isinstance(labels, list) or not labels or not all(map(_is_label, labels)):
            raise ValueError('write a label, or a list of labels such as ["cat", "remote control"]; none may be empty')
        if len(labels) > MAX_LABELS:
            raise ValueError(f"give at most {MAX_LABELS} labels")
        return value

    @property
    def labels(self) -> list[str]:
        """The labels to look for, as the client wrote them."""
        return _split(self.prompt) if isinstance(self.prompt, str) else list(self.prompt or [])

    def required_features(self) -> frozenset[str]:
        needs = {name for name in ("prompt", "text_threshold") if getattr(self, name) is not None}
        return frozenset(needs | ({"points"} if self.points else set()))


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip(" .\t\n"))


def _split(prompt: str) -> list[str]:
    """The labels of a text such as `a cat. a remote control.`, the form of Grounding DINO; numbers keep their point."""
    return [label.strip() for label in re.split(r"\.(?!\d)", prompt) if label.strip()]


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
