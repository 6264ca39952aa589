"""Asking the segment engine with tiny models, and reading its masks."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.segment import Mask, Segment, SegmentItem, SegmentRequest, SegmentResponse
from tests.support.odd_images import drawing, uri
from workers.engine import Call, Device
from workers.registry import find_engine

EVERYTHING = {"points_per_side": 3, "min_score": 0.0, "min_stability": 0.0, "max_overlap": 1.0}
"""Few points, and all of their masks: those of random weights are neither good nor stable."""
PICTURE = drawing()
OTHER = PICTURE.transpose(Image.Transpose.ROTATE_180).point(lambda value: 255 - value)


@cache
def load(folder: Path, dtype: str = "float32", **options: Any) -> Any:
    """The engine with a tiny model, loaded once a process."""
    engine = find_engine("transformers_segment")()
    options = {"threads": 1, **EVERYTHING, **options}
    spec = ModelSpec(id="masks", engine="transformers_segment", source=str(folder), options=options)
    engine.load(spec, Device("cpu", dtype))
    return engine


def call(image: Image.Image = PICTURE, **fields: Any) -> Call[SegmentRequest]:
    """A request about the drawing, or about `images`."""
    if "images" not in fields:
        fields["image"] = uri(image)
    return Call(SegmentRequest.model_validate(fields))


def answers(engine: Any, *calls: Call[SegmentRequest]) -> list[Any]:
    """A response or ServeError for each call."""
    given = dict(engine.segment(list(calls)))
    return [given[one] for one in calls]


def items(engine: Any, **fields: Any) -> list[SegmentItem]:
    """What is found in each picture of one request."""
    [answer] = answers(engine, call(**fields))
    assert isinstance(answer, SegmentResponse), answer
    return answer.data


def found(engine: Any, image: Image.Image = PICTURE, **fields: Any) -> list[Segment]:
    """The segments of one picture."""
    [item] = items(engine, image=image, **fields)
    return item.segments


def refused(engine: Any, **fields: Any) -> ServeError:
    [answer] = answers(engine, call(**fields))
    assert isinstance(answer, ServeError), answer
    return answer


def decoded(mask: Mask) -> Any:
    """The mask in `rle` form by pycocotools: bool, shape (height, width)."""
    from pycocotools import mask as coco

    assert mask.size
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of numpy, about pycocotools
        return coco.decode({"size": list(mask.size), "counts": mask.counts}).astype(bool)


def same(segment: Segment, mask: Any, score: Any) -> bool:
    """Whether the mask is the same to two pixels (where a value is at the threshold) and the score to 1e-5."""
    differing = int((decoded(segment.mask) ^ np.asarray(mask).astype(bool)).sum())
    return differing <= 2 and abs(segment.score - float(score)) < 1e-5


def alike(one: Segment, other: Segment) -> bool:
    """Whether both are the same, whoever shared a pass with them."""
    return same(one, decoded(other.mask), other.score)
