"""A request that needs another model's answer first: what that one is asked, and what becomes of its answer."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.support.gateway_processes import Gateway, Manager
from tests.support.sample_images import png

PICTURE = base64.b64encode(png(40, 30)).decode()


def segment(gateway: Gateway, request_id: str, **fields: Any) -> Any:
    body = {"model": "masks", "image": PICTURE, "prompt": "cat", **fields}
    return gateway.http.post("/v1/vision/segment", json=body, headers={"x-request-id": request_id})


def test_boxes_of_a_detector_become_the_prompts(gateway: Gateway, manager: Manager) -> None:
    answer = segment(gateway, "grounded", detector="finder", box_threshold=0.3, format="polygon")
    assert answer.status_code == 200
    found, masked = manager.seen("grounded")
    assert (found["path"], found["headers"]["x-enginehouse-model"]) == ("/v1/vision/detect", "finder")
    asked = {"model": "finder", "image": PICTURE, "prompt": "cat", "box_threshold": 0.3}
    assert json.loads(found["body"]) == asked
    assert (masked["path"], masked["headers"]["x-enginehouse-model"]) == ("/v1/vision/segment", "masks")
    sent = json.loads(masked["body"])
    assert sent["prompts"] == [{"boxes": [[1, 2, 30, 20]], "image": 0, "label": "cat", "score": 0.75}]
    assert (sent["image"], sent["format"], sent["detector"], sent["prompt"]) == (PICTURE, "polygon", None, None)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"detector": "nobody"}, 404, "There is no model 'nobody'"),
        ({"detector": "reader"}, 400, "does not support the task detect, only ocr. For detect, use finder"),
        ({"detector": "finder", "text_threshold": 0.2}, 400, "`text_threshold`"),
    ],
)
def test_what_the_detector_refuses_names_the_field(
    gateway: Gateway, fields: dict[str, Any], status: int, words: str
) -> None:
    answer = segment(gateway, "refused", **fields)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["param"] == "detector"


@pytest.mark.parametrize("prompt", [["cat"] * 101, ". .", ["...", "cat"]])
def test_a_prompt_that_no_detector_takes_names_the_prompt(gateway: Gateway, manager: Manager, prompt: Any) -> None:
    answer = segment(gateway, "unfit", detector="finder", prompt=prompt)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")
    assert manager.seen("unfit") == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"detector": "finder", "prompt": None}, "needs a `prompt`"),
        ({"detector": "finder", "automatic": True}, "leave out `prompts` and `automatic`"),
        ({}, "`prompt`: the model masks"),
    ],
)
def test_what_makes_no_sense_asks_nobody(
    gateway: Gateway, manager: Manager, fields: dict[str, Any], words: str
) -> None:
    answer = segment(gateway, "senseless", **fields)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert manager.seen("senseless") == []
