"""Requests that need another model's response first: what that model is asked, and how its response is used."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess
from tests.support.sample_images import png

IMAGE = base64.b64encode(png(40, 30)).decode()


def segment(gateway: GatewayProcess, request_id: str, **fields: Any) -> Any:
    body = {"model": "segmenter", "image": IMAGE, "prompt": "cat", **fields}
    return gateway.http.post("/v1/vision/segment", json=body, headers={"x-request-id": request_id})


def test_detector_boxes_become_prompts(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    answer = segment(gateway, "grounded", detector="detector", box_threshold=0.3, format="polygon")
    assert answer.status_code == 200
    detected, segmented = manager.received("grounded")
    assert (detected["path"], detected["headers"]["x-enginehouse-model"]) == ("/v1/vision/detect", "detector")
    expected = {"model": "detector", "image": IMAGE, "prompt": "cat", "box_threshold": 0.3}
    assert json.loads(detected["body"]) == expected
    assert (segmented["path"], segmented["headers"]["x-enginehouse-model"]) == ("/v1/vision/segment", "segmenter")
    sent = json.loads(segmented["body"])
    assert sent["prompts"] == [{"boxes": [[1, 2, 30, 20]], "image": 0, "label": "cat", "score": 0.75}]
    assert (sent["image"], sent["format"], sent["detector"], sent["prompt"]) == (IMAGE, "polygon", None, None)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"detector": "missing"}, 404, "There is no model 'missing'"),
        (
            {"detector": "reader"},
            400,
            "does not support the task detect, only ocr. For detect, use detector, external-detector",
        ),
        ({"detector": "detector", "text_threshold": 0.2}, 400, "`text_threshold`"),
    ],
)
def test_errors_of_the_detector_name_the_detector_field(
    gateway: GatewayProcess, fields: dict[str, Any], status: int, words: str
) -> None:
    answer = segment(gateway, "refused", **fields)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["param"] == "detector"


@pytest.mark.parametrize("prompt", [["cat"] * 101, ". .", ["...", "cat"]])
def test_prompts_that_are_no_labels_name_the_prompt_field(
    gateway: GatewayProcess, manager: FakeManagerProcess, prompt: Any
) -> None:
    answer = segment(gateway, "unfit", detector="detector", prompt=prompt)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")
    assert manager.received("unfit") == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"detector": "detector", "prompt": None}, "needs a `prompt`"),
        ({"detector": "detector", "automatic": True}, "leave out `prompts` and `automatic`"),
        ({}, "`prompt`: the model segmenter"),
    ],
)
def test_contradictory_requests_are_not_sent_to_any_model(
    gateway: GatewayProcess, manager: FakeManagerProcess, fields: dict[str, Any], words: str
) -> None:
    answer = segment(gateway, "senseless", **fields)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert manager.received("senseless") == []


def test_external_detector_gets_its_own_model_name(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    answer = segment(gateway, "external-detector", detector="external-detector")
    assert answer.status_code == 200
    detected, _ = manager.received("external-detector")
    assert json.loads(detected["body"])["model"] == "yolo"
