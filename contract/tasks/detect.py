"""detect: finds objects in an image, each with a box, a label and a score."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from contract.lazy_model import LazyModel
from contract.limits import Items, Text
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Task
from contract.tasks.vision import Box, VisionItem, VisionRequest, VisionResponse

MAX_LABELS = 100


class DetectRequest(VisionRequest):
    """`prompt` is what to find: a label, a list of labels, or several labels in one text, each ending in a full stop.

    Models with a fixed set of classes accept no prompt. A box is left out unless its score exceeds `box_threshold` and
    the score of its label's best word exceeds `text_threshold`. `max_detections` keeps the best. `points` asks for a
    point on each object instead of a box.
    """

    prompt: Text | Items[Text] | None = None
    box_threshold: float | None = Field(None, ge=0, le=1)
    text_threshold: float | None = Field(None, ge=0, le=1)
    max_detections: int | None = Field(None, ge=1)
    points: bool | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _check_labels(cls, value: Any) -> Any:
        if value is None:
            return None
        labels = _split(value) if isinstance(value, str) else value
        if not isinstance(labels, list) or not labels or not all(map(_is_label, labels)):
            raise ValueError('send a label, or a list of labels such as ["cat", "remote control"]; none may be empty')
        if len(labels) > MAX_LABELS:
            raise ValueError(f"send at most {MAX_LABELS} labels")
        return value

    @property
    def labels(self) -> list[str]:
        """The labels to find, as the client wrote them."""
        return _split(self.prompt) if isinstance(self.prompt, str) else list(self.prompt or [])

    def required_features(self) -> frozenset[str]:
        needs = {name for name in ("prompt", "text_threshold") if getattr(self, name) is not None}
        return frozenset(needs | ({"points"} if self.points else set()))


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip(" .\t\n"))


def _split(prompt: str) -> list[str]:
    """Split `a cat. a remote control.`, Grounding DINO's format, into labels; decimal points do not split."""
    return [label.strip() for label in re.split(r"\.(?!\d)", prompt) if label.strip()]


class Detection(LazyModel):
    """One object: its label, the model's score (0 to 1) and its box."""

    label: str
    score: float
    box: Box


class PointedAt(LazyModel):
    """A point `[x, y]` on one object."""

    label: str
    point: tuple[float, float]


class DetectItem(VisionItem):
    """`detections` are sorted by score, best first; `points` are present if the request asked for them."""

    detections: list[Detection]
    points: list[PointedAt] | None = None


class DetectResponse(VisionResponse):
    data: list[DetectItem]


DETECT = Task(
    "detect",
    "/v1/vision/detect",
    DetectRequest,
    DetectResponse,
    example={"image": SAMPLE_IMAGE, "prompt": ["a rectangle"]},
)
