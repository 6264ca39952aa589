"""Runs detection engines with tiny models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.detect import DetectItem, DetectRequest
from tests.support.odd_images import drawing, uri
from workers.engine import Call, Device
from workers.engines.transformers_detect import TransformersDetect
from workers.registry import find_engine

GROUNDING = ("grounding_dino", "mm_grounding_dino")
OWL = ("owlvit", "owlv2")
OPEN_SET = (*GROUNDING, *OWL)
"""Families that look for what a prompt names."""
CLOSED_SET = (
    "conditional_detr", "d_fine", "dab_detr", "deformable_detr", "detr", "rf_detr", "rt_detr", "rt_detr_v2",
    "table_transformer", "yolos",
)  # fmt: skip
"""Families that look for the classes that they were trained on."""
LABELS = ["cat", "remote control"]
UPRIGHT = drawing()
ROTATED = UPRIGHT.transpose(Image.Transpose.ROTATE_180)
WIDE = UPRIGHT.resize((120, 50))

DetectEngine = Callable[..., TransformersDetect]
"""Loads the engine with a family's tiny model: `detector("rt_detr", batch_size=2)`."""
DetectionRow = tuple[str, float, tuple[float, ...]]
"""Label, score and box of a detection."""


def load(folder: Path, **options: Any) -> TransformersDetect:
    engine = find_engine("transformers_detect")()
    assert isinstance(engine, TransformersDetect)
    options = {"threads": 1, **options}
    spec = ModelSpec(id=folder.name, engine="transformers_detect", source=str(folder), options=options)
    engine.load(spec, Device("cpu", "float32"))
    return engine


def request(*images: Image.Image, **fields: Any) -> Call[DetectRequest]:
    """A call whose thresholds keep every candidate, unless `fields` says otherwise."""
    body: dict[str, Any] = {"images": [uri(image) for image in images], "box_threshold": 0, **fields}
    return Call(DetectRequest.model_validate(body))


def detect(engine: TransformersDetect, *calls: Call[DetectRequest]) -> list[list[DetectItem]]:
    """The items of each call, all answered together. Raises the first error."""
    answers = dict(engine.detect(list(calls)))
    for answer in answers.values():
        if isinstance(answer, ServeError):
            raise answer
    return [answers[call].data for call in calls]  # type: ignore[union-attr]


def rows(item: DetectItem) -> list[DetectionRow]:
    return [(detection.label, detection.score, detection.box) for detection in item.detections]


def close(item: DetectItem, expected: list[DetectionRow]) -> bool:
    """Whether labels are equal, scores within 1e-5 and corners within a thousandth of a pixel.

    Rows whose scores are that close may have changed places: a batch of another size rounds differently.
    """
    left = list(expected)
    for row in rows(item):
        match = next((other for other in left if _close_rows(row, other)), None)
        if match is None:
            return False
        left.remove(match)
    scores = [row[1] for row in rows(item)]
    return not left and scores == sorted(scores, reverse=True)


def _close_rows(row: DetectionRow, other: DetectionRow) -> bool:
    (label, score, box), (other_label, other_score, other_box) = row, other
    return (
        label == other_label
        and score == pytest.approx(other_score, abs=1e-5)
        and box == pytest.approx(other_box, abs=1e-3)
    )


def prompt_fields(family: str) -> dict[str, Any]:
    """The request's `prompt`, for families that take one."""
    return {"prompt": LABELS} if family in OPEN_SET else {}
