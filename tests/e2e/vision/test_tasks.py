"""Vision tasks in a real server: every family, every example of docs/vision.md, detectors that prompt a segmenter."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.config import ModelSpec
from contract.tasks import all_tasks
from scripts.testbed.server import RunningServer, eventually
from tests.conftest import Models
from tests.e2e.vision.conftest import FAMILIES, IMAGE, Family
from tests.support.engine_cases import Case, ask, content
from tests.support.odd_images import drawing
from tests.support.peak_memory import peak
from workers.engine import Device
from workers.registry import find_engine


def family_params() -> list[Any]:
    """Each family as a parameter. `make test` starts one real model for each engine that no other test starts."""
    only_e2e = {"sam3", "florence2", "vlm-best", "stable-diffusion", "clip"}
    marks = {family.id: [pytest.mark.e2e] if family.id in only_e2e else [] for family in FAMILIES}
    return [pytest.param(family, id=family.id, marks=marks[family.id]) for family in FAMILIES]


@pytest.mark.parametrize("family", family_params())
async def test_server_answers_as_the_engine_alone(family: Family, server: RunningServer, models: Models) -> None:
    task = all_tasks()[family.task]
    answer = server.post(task.path, {"model": family.id, **family.body})
    assert answer.status_code == 200, answer.text

    engine = find_engine(family.engine)()
    engine.load(ModelSpec.model_validate(family.spec(models)), Device("cpu", "float32"))
    [expected] = await ask(engine, Case(family.engine, family.task, family.body, {}, {}), family.body)
    expected = task.response.model_validate(expected.model_dump(mode="json"))
    assert content(task.response.model_validate(answer.json())) == content(expected)


@pytest.fixture(scope="module")
def image() -> str:
    out = io.BytesIO()
    drawing().save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_detector_boxes_prompt_the_segmenter(server: RunningServer, image: str) -> None:
    request = {
        "model": "grounding-dino",
        "image": image,
        "prompt": "a red box",
        "box_threshold": 0,
        "max_detections": 3,
    }
    detections = server.post("/v1/vision/detect", request).json()["data"][0]["detections"]
    assert detections
    grounded = {**request, "model": "sam2", "detector": "grounding-dino", "threshold": 0}
    answer = server.post("/v1/vision/segment", grounded)
    assert answer.status_code == 200, answer.text
    segments = answer.json()["data"][0]["segments"]
    assert [(segment["label"], segment["detection_score"]) for segment in segments] == [
        (detection["label"], detection["score"]) for detection in detections
    ]
    boxes = [{"boxes": [detection["box"]], "image": 0} for detection in detections]
    directly = server.post("/v1/vision/segment", {"model": "sam2", "image": image, "prompts": boxes, "threshold": 0})
    expected = directly.json()["data"][0]["segments"]
    assert [segment["mask"] for segment in segments] == [segment["mask"] for segment in expected]


def test_no_detections_mean_no_segments(server: RunningServer, image: str) -> None:
    body = {"model": "sam2", "detector": "grounding-dino", "image": image, "prompt": "a red box", "box_threshold": 1}
    answer = server.post("/v1/vision/segment", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["segments"] == []


def test_json_bytes_and_npz_hold_the_same_numbers(server: RunningServer, image: str) -> None:
    body = {"model": "depth-indoor-small", "image": image}
    item = server.post("/v1/vision/depth", body).json()["data"][0]
    depth = np.frombuffer(base64.b64decode(item["depth"]["data"]), "<f4").reshape(item["depth"]["shape"])
    assert depth.shape == (60, 80)
    assert (item["unit"], item["min"], item["max"]) == ("metre", float(depth.min()), float(depth.max()))

    raw = server.post("/v1/vision/depth", body, headers={"accept": "application/octet-stream"})
    assert (raw.headers["x-array-dtype"], raw.headers["x-array-shape"]) == ("float32", "60,80")
    assert raw.content == depth.tobytes()

    npz = server.post("/v1/vision/depth", body, headers={"accept": "application/x-npz"})
    assert npz.headers["content-type"] == "application/x-npz"
    assert np.array_equal(np.load(io.BytesIO(npz.content))["0.depth"], depth)


def test_raw_bytes_of_two_arrays_are_refused(server: RunningServer, image: str) -> None:
    body = {"model": "depth-indoor-small", "images": [image, image]}
    answer = server.post("/v1/vision/depth", body, headers={"accept": "application/octet-stream"})
    assert answer.status_code == 406
    error = answer.json()["error"]
    assert error["code"] == "not_acceptable"
    assert "0.depth, 1.depth" in error["message"]
    assert "application/x-npz" in error["message"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has the high-water mark")
def test_a_strip_that_would_unfold_teaches_nothing(tmp_path: Path) -> None:
    """64 million pixels in 0.2 MiB, of which RapidOCR would make a square of 13 billion."""
    file = io.BytesIO()
    Image.new("L", (113_000, 565), "white").save(file, "PNG")
    entry = {"id": "ocr", "engine": "rapidocr", "preload": True, "options": {"threads": 1}}
    with RunningServer(tmp_path, [entry]) as server:
        eventually("it is measured", lambda: server.status()["models"][0]["footprint_learned"])
        before = server.status()["models"][0]["footprint_bytes"]
        pid = server.workers()[0]["pid"]
        answer = server.post("/v1/vision/ocr", {"model": "ocr", "image": base64.b64encode(file.getvalue()).decode()})
        assert answer.status_code == 400
        assert "this strip of 113000x565 is too narrow" in answer.json()["error"]["message"]
        assert peak(pid) < before + 2**30
        read = server.post("/v1/vision/ocr", {"model": "ocr", "image": IMAGE})
        assert read.json()["data"][0]["text"] == "Hello"
        server.post("/v1/system/evict/ocr")
        assert server.status()["models"][0]["footprint_bytes"] < before + 2**30
