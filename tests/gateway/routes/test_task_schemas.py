"""GET /v1/tasks: every task, with all that a program needs to build a form for it."""

from __future__ import annotations

from typing import Any

import pytest

from contract.tasks import all_tasks
from tests.support.fake_models import MODELS
from tests.support.gateway_processes import GatewayProcess


@pytest.fixture(name="listed", scope="module")
def _listed(gateway: GatewayProcess) -> dict[str, Any]:
    listing = gateway.http.get("/v1/tasks").json()
    assert (listing["object"], listing["count"]) == ("list", len(listing["data"]))
    return {task["id"]: task for task in listing["data"]}


def test_lists_every_task_with_its_path_and_models(listed: dict[str, Any]) -> None:
    assert list(listed) == list(all_tasks())
    for name, task in all_tasks().items():
        assert (listed[name]["path"], listed[name]["streams"]) == (task.path, task.chunk is not None)
        assert listed[name]["job_path"] == f"/jobs/submit/{name}"
        assert listed[name]["title"]
        assert not listed[name]["description"].startswith(f"{name}:")
    serving = [model["id"] for model in MODELS if "ocr" in model["tasks"]]
    assert set(serving) <= set(listed["ocr"]["models"])
    assert listed["chat"]["default_model"] in listed["chat"]["models"]


def test_schemas_have_descriptions_defaults_and_ranges(listed: dict[str, Any]) -> None:
    threshold = listed["segment"]["request"]["schema"]["properties"]["threshold"]
    assert threshold["description"].startswith("The minimum score of a segment")
    assert {"maximum": 1, "minimum": 0, "type": "number"} in threshold["anyOf"]
    count = listed["image-generation"]["request"]["schema"]["properties"]["n"]
    assert (count["default"], count["minimum"], count["maximum"]) == (1, 1, 16)
    assert listed["segment"]["request"]["schema"]["$defs"].keys() == {"SegmentPrompt"}


def test_says_which_fields_are_files_and_which_do_nothing(listed: dict[str, Any]) -> None:
    edit = listed["image-edit"]["request"]
    assert edit["media_types"] == ["application/json", "multipart/form-data"]
    assert edit["fields"]["mask"] == {
        "upload": "image", "several": False, "treatment": "honoured", "apis": "OpenAI", "hint": "Needs `mask`.",
    }  # fmt: skip
    assert edit["fields"]["image"]["several"]
    assert not listed["analyze"]["request"]["fields"]["image"]["several"]
    assert edit["form"]["properties"]["mask"] == {"type": "string", "format": "binary"}
    assert listed["transcription"]["request"]["fields"]["file"]["upload"] == "audio"
    assert listed["transcription"]["request"]["fields"]["response_format"]["values"][:2] == ["json", "text"]
    assert "values" not in edit["fields"]["background"]
    chat = listed["chat"]["request"]
    assert (chat["form"], chat["media_types"]) == (None, ["application/json"])
    assert chat["fields"]["audio"]["treatment"] == "refused"


def test_says_which_media_types_answers_have(listed: dict[str, Any]) -> None:
    arrays = ["application/octet-stream", "application/x-npz"]
    assert listed["depth"]["response"] == {"media_types": ["application/json", *arrays], "arrays": arrays}
    assert listed["chat"]["response"]["media_types"][:2] == ["application/json", "text/event-stream"]
    assert "text/vtt" in listed["transcription"]["response"]["media_types"]
    assert listed["analyze"]["listings"] == ["/v1/vision/tasks"]


def test_examples_are_valid_requests(listed: dict[str, Any]) -> None:
    for name, task in all_tasks().items():
        task.request.model_validate(listed[name]["request"]["example"])


def test_one_task_by_its_name(gateway: GatewayProcess, listed: dict[str, Any]) -> None:
    assert gateway.http.get("/v1/tasks/depth").json() == listed["depth"]
    missing = gateway.http.get("/v1/tasks/dance")
    assert (missing.status_code, missing.json()["error"]["param"]) == (404, "task")
    assert "image-generation" in missing.json()["error"]["message"]
