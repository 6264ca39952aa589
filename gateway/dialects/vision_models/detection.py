"""Grounding DINO: boxes of what the prompts name."""

from __future__ import annotations

from collections.abc import Sequence

from contract.lazy_model import LazyModel
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks.detect import DETECT, DetectItem
from contract.tasks.vision import Box
from gateway.dialects.dialect import DialectRoute, TaskAnswer, TaskQuery
from gateway.dialects.vision_models.request import (
    FIELDS,
    Labels,
    Threshold,
    VisionModelRequest,
    VisionModelResponse,
    query,
    shared_fields,
)
from gateway.forwarding.model_table import ModelTable


class GroundingDinoRequest(VisionModelRequest):
    """`prompts` are the labels to find."""

    prompts: Labels
    box_threshold: Threshold = 0.4
    text_threshold: Threshold = 0.3


class FoundObjects(LazyModel):
    """The objects of one image, best first; `boxes` are [x0, y0, x1, y1] in pixels."""

    boxes: list[Box]
    scores: list[float]
    labels: list[str]
    text_labels: list[str]


class GroundingDinoResponse(VisionModelResponse):
    """`results` has one entry for each image."""

    results: list[FoundObjects]


def to_detect(request: GroundingDinoRequest, models: ModelTable) -> Sequence[TaskQuery]:
    """One request for all images."""
    thresholds = {"box_threshold": request.box_threshold, "text_threshold": request.text_threshold}
    return [query(DETECT, request, "grounding_dino", models, prompt=request.prompts, **thresholds)]


def from_detect(_: GroundingDinoRequest, answers: Sequence[TaskAnswer]) -> GroundingDinoResponse:
    """The detections of each image, as one list for each of their fields."""
    return GroundingDinoResponse(results=[*map(_found_objects, answers[0].response.data)], **shared_fields(answers[0]))


def _found_objects(item: DetectItem) -> FoundObjects:
    labels = [detection.label for detection in item.detections]
    return FoundObjects(
        boxes=[detection.box for detection in item.detections],
        scores=[detection.score for detection in item.detections],
        labels=labels,
        text_labels=labels,
    )


DETECTION_ROUTE = DialectRoute(
    "/inference/grounding-dino",
    "Object detection with Grounding DINO",
    GroundingDinoRequest,
    GroundingDinoResponse,
    to_detect,
    from_detect,
    (DETECT,),
    {"images": [SAMPLE_IMAGE], "prompts": ["person", "car"], "box_threshold": 0.4, "text_threshold": 0.3},
    {
        "results": [{"boxes": [[20, 14, 44, 34]], "scores": [0.83], "labels": ["car"], "text_labels": ["car"]}],
        "model_id": "IDEA-Research/grounding-dino-tiny",
        "model": "grounding-dino",
        "processing_time": 0.4,
    },
    FIELDS,
)
