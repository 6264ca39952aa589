"""Segment requests: prompts must say what they are for, and a detector's boxes become prompts within the picture."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import InvalidField
from contract.tasks.detect import Detection, DetectItem, DetectResponse
from contract.tasks.segment import SEGMENT, SegmentRequest
from contract.tasks.vision import Box, VisionUsage

PICTURE = "aGVsbG8="


def request(**fields: Any) -> SegmentRequest:
    return SegmentRequest.model_validate({"image": PICTURE, **fields})


@pytest.mark.parametrize(
    "body",
    [
        '{"image": "aGVsbG8=", "prompt": ""}',
        '{"image": "aGVsbG8=", "prompt": []}',
        '{"image": "aGVsbG8=", "prompt": ["cat", " "]}',
        '{"image": "aGVsbG8=", "prompts": [{"text": " "}]}',
        '{"image": "aGVsbG8=", "prompts": [{"label": "cat"}]}',
        '{"image": "aGVsbG8=", "prompts": [{"points": [[1, 2]], "point_labels": [1, 0]}]}',
        '{"image": "aGVsbG8=", "prompts": [{"boxes": [[9, 1, 3, 4]]}]}',
    ],
)
def test_prompts_that_say_nothing_or_contradict_themselves_are_refused(body: str) -> None:
    with pytest.raises(InvalidField) as refused:
        SEGMENT.decode("application/json", body.encode())
    assert str(refused.value.param).startswith("prompt")


def test_a_prompt_for_a_picture_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidField, match="out of range; the index of the last image is 0"):
        request(prompts=[{"points": [[1, 2]], "image": 1}])


def test_as_many_words_as_prompts_are_taken() -> None:
    assert len(request(prompt=["cat"] * 256).prompts_for(0)) == 256
    with pytest.raises(ValueError, match="at most 256"):
        request(prompt=["cat"] * 257)


def test_a_request_needs_what_its_prompts_use() -> None:
    prompts = [{"points": [[1, 2]]}, {"boxes": [[1, 1, 2, 2]], "box_labels": [0]}]
    assert request(prompts=prompts).required_features() == {"points", "box_labels"}
    assert request(prompt="cat", semantic=True).required_features() == {"prompt", "semantic"}
    assert request(prompt="cat", detector="finder").required_features() == frozenset()
    assert request(automatic=True, multimask=True).required_features() == {"automatic", "multimask"}


def test_detections_become_prompts_within_their_picture() -> None:
    asked = SegmentRequest.model_validate({"images": [PICTURE, PICTURE], "prompt": "cat", "detector": "finder"})
    found = [
        _detected(0, (-3, 5, 50, 70.5), (90, 10, 120, 20)),  # the second lies outside
        _detected(1),
    ]

    asked.apply_prerequisite(DetectResponse(model="finder", data=found, usage=VisionUsage(images=2, latency=0)))

    [prompt] = asked.prompts_for(0)
    assert (prompt.boxes, prompt.label, prompt.score) == ([(0, 5, 50, 60)], "cat", 0.5)
    assert asked.prompts_for(1) == []
    assert (asked.detector, asked.prompt) == (None, None)


def test_prompts_are_bounded_for_each_picture_and_detections_too() -> None:
    box = {"boxes": [[1, 1, 2, 2]]}
    request(images=[PICTURE], prompts=[{**box, "image": 0}] * 256 + [{**box, "image": 1}] * 256)
    with pytest.raises(InvalidField, match="at most 256 prompts per image"):
        request(images=[PICTURE], prompts=[{**box, "image": 0}] * 200 + [box] * 57)
    asked = request(prompt="cat", detector="finder")
    found = [_detected(0, *[(1, 1, 2, 2)] * 257)]
    with pytest.raises(InvalidField, match="257 objects") as refused:
        asked.apply_prerequisite(DetectResponse(model="finder", data=found, usage=VisionUsage(images=1, latency=0)))
    assert refused.value.param == "max_detections"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"detector": "finder"}, "prompt"),
        ({"detector": "finder", "prompt": "cat", "prompts": [{"text": "cat"}]}, "prompts"),
        ({"detector": "finder", "prompt": "cat", "automatic": True}, "automatic"),
        ({"automatic": True, "prompt": "cat"}, "automatic"),
        ({"prompts": [{"text": "cat", "image": 1}]}, "prompts"),
        ({"image": []}, "image"),
    ],
)
def test_what_contradicts_itself_names_the_field_to_change(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as refused:
        request(**fields)
    assert refused.value.param == param


def _detected(index: int, *boxes: Box) -> DetectItem:
    detections = [Detection(label="cat", score=0.5, box=box) for box in boxes]
    return DetectItem(index=index, width=80, height=60, detections=detections)
