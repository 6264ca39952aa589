"""Segment requests: valid prompts, required features, and a detector's boxes as prompts."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import InvalidField
from contract.tasks.detect import Detection, DetectItem, DetectResponse
from contract.tasks.segment import SEGMENT, SegmentRequest
from contract.tasks.vision import Box, VisionUsage

IMAGE = "aGVsbG8="


def request(**fields: Any) -> SegmentRequest:
    return SegmentRequest.model_validate({"image": IMAGE, **fields})


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
def test_rejects_empty_or_contradictory_prompts(body: str) -> None:
    with pytest.raises(InvalidField) as error:
        SEGMENT.decode("application/json", body.encode())
    assert str(error.value.param).startswith("prompt")


def test_rejects_a_prompt_for_a_missing_image() -> None:
    with pytest.raises(InvalidField, match="out of range; the index of the last image is 0"):
        request(prompts=[{"points": [[1, 2]], "image": 1}])


def test_limits_the_number_of_words() -> None:
    assert len(request(prompt=["cat"] * 256).prompts_for(0)) == 256
    with pytest.raises(ValueError, match="at most 256"):
        request(prompt=["cat"] * 257)


def test_required_features() -> None:
    prompts = [{"points": [[1, 2]]}, {"boxes": [[1, 1, 2, 2]], "box_labels": [0]}]
    assert request(prompts=prompts).required_features() == {"points", "box_labels"}
    assert request(prompt="cat", semantic=True).required_features() == {"prompt", "semantic"}
    assert request(prompt="cat", detector="detector").required_features() == frozenset()
    assert request(automatic=True, multimask=True).required_features() == {"automatic", "multimask"}


def test_detections_become_prompts_clipped_to_their_image() -> None:
    segment = SegmentRequest.model_validate({"images": [IMAGE, IMAGE], "prompt": "cat", "detector": "detector"})
    items = [
        _detected(0, (-3, 5, 50, 70.5), (90, 10, 120, 20)),  # the second box is outside
        _detected(1),
    ]

    segment.apply_prerequisite(DetectResponse(model="detector", data=items, usage=VisionUsage(images=2, latency=0)))

    [prompt] = segment.prompts_for(0)
    assert (prompt.boxes, prompt.label, prompt.score) == ([(0, 5, 50, 60)], "cat", 0.5)
    assert segment.prompts_for(1) == []
    assert (segment.detector, segment.prompt) == (None, None)


def test_limits_prompts_and_detections_per_image() -> None:
    box = {"boxes": [[1, 1, 2, 2]]}
    request(images=[IMAGE], prompts=[{**box, "image": 0}] * 256 + [{**box, "image": 1}] * 256)
    with pytest.raises(InvalidField, match="at most 256 prompts per image"):
        request(images=[IMAGE], prompts=[{**box, "image": 0}] * 200 + [box] * 57)
    segment = request(prompt="cat", detector="detector")
    items = [_detected(0, *[(1, 1, 2, 2)] * 257)]
    with pytest.raises(InvalidField, match="257 objects") as error:
        segment.apply_prerequisite(DetectResponse(model="detector", data=items, usage=VisionUsage(images=1, latency=0)))
    assert error.value.param == "max_detections"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"detector": "detector"}, "prompt"),
        ({"detector": "detector", "prompt": "cat", "prompts": [{"text": "cat"}]}, "prompts"),
        ({"detector": "detector", "prompt": "cat", "automatic": True}, "automatic"),
        ({"automatic": True, "prompt": "cat"}, "automatic"),
        ({"prompts": [{"text": "cat", "image": 1}]}, "prompts"),
        ({"image": []}, "image"),
    ],
)
def test_contradiction_names_the_field_to_change(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as error:
        request(**fields)
    assert error.value.param == param


def _detected(index: int, *boxes: Box) -> DetectItem:
    detections = [Detection(label="cat", score=0.5, box=box) for box in boxes]
    return DetectItem(index=index, width=80, height=60, detections=detections)
