"""Asks detection engines with tiny models in them."""

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
BY_TEXT = (*GROUNDING, *OWL)
OF_CLASSES = (
    "conditional_detr", "d_fine", "dab_detr", "deformable_detr", "detr", "rf_detr", "rt_detr", "rt_detr_v2",
    "table_transformer", "yolos",
)  # fmt: skip
LABELS = ["cat", "remote control"]
UPRIGHT = drawing()
TURNED = UPRIGHT.transpose(Image.Transpose.ROTATE_180)
WIDE = UPRIGHT.resize((120, 50))

Detector = Callable[..., TransformersDetect]
"""The engine with a family's tiny model in it: `detector("rt_detr", batch_size=2)`."""
Row = tuple[str, float, tuple[float, ...]]


def load(folder: Path, **options: Any) -> TransformersDetect:
    engine = find_engine("transformers_detect")()
    assert isinstance(engine, TransformersDetect)
    options = {"threads": 1, **options}
    spec = ModelSpec(id=folder.name, engine="transformers_detect", source=str(folder), options=options)
    engine.load(spec, Device("cpu", "float32"))
    return engine


def ask(*images: Image.Image, **fields: Any) -> Call[DetectRequest]:
    """A request whose thresholds let everything pass, unless it says otherwise."""
    sent: dict[str, Any] = {"images": [uri(image) for image in images], "box_threshold": 0, **fields}
    return Call(DetectRequest.model_validate(sent))


def detect(engine: TransformersDetect, *calls: Call[DetectRequest]) -> list[list[DetectItem]]:
    """The items of each call."""
    answers = dict(engine.detect(list(calls)))
    for answer in answers.values():
        if isinstance(answer, ServeError):
            raise answer
    return [answers[call].data for call in calls]  # type: ignore[union-attr]


def rows(item: DetectItem) -> list[Row]:
    return [(one.label, one.score, one.box) for one in item.detections]


def close(got: DetectItem, expected: list[Row]) -> bool:
    """Same labels; scores within 1e-5 and corners within a thousandth of a pixel."""
    return [row[0] for row in rows(got)] == [row[0] for row in expected] and all(
        score == pytest.approx(other, abs=1e-5) and box == pytest.approx(place, abs=1e-3)
        for (_, score, box), (_, other, place) in zip(rows(got), expected, strict=True)
    )


def prompted(family: str) -> dict[str, Any]:
    """The labels to look for, for a model that takes some."""
    return {"prompt": LABELS} if family in BY_TEXT else {}
