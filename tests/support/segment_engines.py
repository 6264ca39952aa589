"""Runs the segmentation engine with tiny models, and decodes its masks."""

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

KEEP_ALL = {"points_per_side": 3, "min_score": 0.0, "min_stability": 0.0, "max_overlap": 1.0}
"""Options with few points that drop no mask: those of random weights are neither good nor stable."""
IMAGE = drawing()
ROTATED = IMAGE.transpose(Image.Transpose.ROTATE_180).point(lambda value: 255 - value)


@cache
def load(folder: Path, dtype: str = "float32", **options: Any) -> Any:
    """The engine with a tiny model, loaded once per process."""
    engine = find_engine("transformers_segment")()
    options = {"threads": 1, **KEEP_ALL, **options}
    spec = ModelSpec(id="masks", engine="transformers_segment", source=str(folder), options=options)
    engine.load(spec, Device("cpu", dtype))
    return engine


def call(image: Image.Image = IMAGE, **fields: Any) -> Call[SegmentRequest]:
    """A call with one image, or with the field `images`."""
    if "images" not in fields:
        fields["image"] = uri(image)
    return Call(SegmentRequest.model_validate(fields))


def answers(engine: Any, *calls: Call[SegmentRequest]) -> list[Any]:
    """The response or ServeError of each call, all answered together."""
    answered = dict(engine.segment(list(calls)))
    return [answered[call] for call in calls]


def items(engine: Any, **fields: Any) -> list[SegmentItem]:
    """The items of one request, one for each image."""
    [answer] = answers(engine, call(**fields))
    assert isinstance(answer, SegmentResponse), answer
    return answer.data


def segments_of(engine: Any, image: Image.Image = IMAGE, **fields: Any) -> list[Segment]:
    """The segments of one image."""
    [item] = items(engine, image=image, **fields)
    return item.segments


def refusal(engine: Any, **fields: Any) -> ServeError:
    """The error of one request."""
    [answer] = answers(engine, call(**fields))
    assert isinstance(answer, ServeError), answer
    return answer


def decoded(mask: Mask) -> Any:
    """A mask in the `rle` format, decoded by pycocotools: bool, shape (height, width)."""
    from pycocotools import mask as coco

    assert mask.size
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # numpy warns about pycocotools
        return coco.decode({"size": list(mask.size), "counts": mask.counts}).astype(bool)


def matches(segment: Segment, mask: Any, score: Any) -> bool:
    """Whether masks differ in at most two pixels (where a value is at the threshold) and scores by less than 1e-5."""
    differing = int((decoded(segment.mask) ^ np.asarray(mask).astype(bool)).sum())
    return differing <= 2 and abs(segment.score - float(score)) < 1e-5


def equivalent(segment: Segment, other: Segment) -> bool:
    """Whether two segments are the same up to rounding errors in batches of different sizes."""
    return matches(segment, decoded(other.mask), other.score)
