"""Other servers' APIs in a running server: their printed requests, and values equal to the tasks' own."""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.testbed.server import RunningServer
from tests.support.doc_examples import run_client
from tests.support.odd_images import drawing
from tests.support.seed_examples import DEPTH_SERVER, IMAGE, VISION_SERVER, as_printed

SIZE = [60, 80]


def ask(server: RunningServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = server.post(path, body)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def only_item(server: RunningServer, task: str, **fields: Any) -> dict[str, Any]:
    """The task's own result for the image."""
    [item] = ask(server, f"/v1/vision/{task}", {"image": IMAGE, **fields})["data"]
    return item


def values(text: str, shape: list[int]) -> Any:
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape)


@pytest.mark.parametrize("path", DEPTH_SERVER)
def test_depth_servers_printed_requests(server: RunningServer, path: str) -> None:
    answer = ask(server, path, as_printed(DEPTH_SERVER[path]))
    fields = {"model": "vitl-hypersim", "max_depth": 1.0, "model_input_size": 518}
    if path == "/pc":
        camera = {"fx": 1000.0, "fy": 1000.0, "cx": 640.0, "cy": 480.0}
        own = only_item(server, "pointcloud", camera_intrinsics=camera, **fields)
        assert answer.keys() == {"pointcloud", "pointcloud_shape", "depth_map", "depth_shape", "min", "max"}
        assert (answer["pointcloud"], answer["pointcloud_shape"]) == (own["points"]["data"], own["points"]["shape"])
        assert answer["depth_shape"] == SIZE
        assert answer["pointcloud_shape"] == [SIZE[0] * SIZE[1], 3]
    else:
        own = only_item(server, "depth", **fields)
        assert answer.keys() == {"depth_map", "shape", "min", "max"}
        assert answer["shape"] == SIZE
    assert answer["depth_map"] == own["depth"]["data"]
    depth = values(answer["depth_map"], SIZE)
    assert (answer["min"], answer["max"]) == (own["min"], own["max"])
    assert (np.float32(answer["min"]), np.float32(answer["max"])) == (depth.min(), depth.max())
    assert 0 <= depth.min() < depth.max() <= 1


def test_depth_grows_with_max_depth(server: RunningServer) -> None:
    near, far = (ask(server, "/metric_depth", {"image": IMAGE, "max_depth": limit}) for limit in (1, 20))
    assert np.allclose(values(near["depth_map"], SIZE) * 20, values(far["depth_map"], SIZE), rtol=1e-5)


def test_missing_checkpoint_error_names_the_entry(server: RunningServer) -> None:
    answer = server.post("/rel_depth", {"image": IMAGE, "encoder": "vitb"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "encoder")
    assert "make models MODEL=depth-indoor-base" in error["message"]


@pytest.mark.parametrize("name", ["sam3", "sam3 rle", "sam3 polygons", "sam3 dense"])
def test_sam3s_printed_requests(server: RunningServer, name: str) -> None:
    body = as_printed(VISION_SERVER[name])
    fields = {"results", "model_id", "model", "processing_time"}
    assert ask(server, "/inference/sam3", body).keys() == fields
    output_format = body.get("output_format", "rle")
    own_format = {"rle": "rle", "polygons": "polygon", "dense": "dense"}[output_format]
    own = only_item(
        server, "segment", model="sam3", prompt=body["prompts"], threshold=0.0, format=own_format,
        encoding_format="float",
    )  # fmt: skip
    [results] = ask(server, "/inference/sam3", body | {"threshold": 0.0})["results"]
    assert [(each["prompt_index"], each["prompt"]) for each in results] == list(enumerate(body["prompts"]))
    for each in results:
        segments = [segment for segment in own["segments"] if segment["prompt"] == each["prompt_index"]]
        result = each["result"]
        assert segments
        assert result["scores"] == result["iou_scores"] == [segment["score"] for segment in segments]
        assert result["boxes"] == [segment["box"] for segment in segments]
        if output_format == "rle":
            areas = [int(run_lengths_as_pixels(mask).sum()) for mask in result["masks_rle"]]
            assert areas == [segment["area"] for segment in segments]
        else:
            field, own_field = {"polygons": ("masks_polygon", "polygons"), "dense": ("masks", "pixels")}[output_format]
            assert result[field] == [segment["mask"][own_field] for segment in segments]


def run_lengths_as_pixels(mask: dict[str, Any]) -> Any:
    assert (mask["encoding"], mask["size"]) == ("rle", SIZE)
    runs = np.frombuffer(zlib.decompress(base64.b64decode(mask["counts"])), "<u4")
    inside = np.zeros(len(runs), np.uint8)
    inside[1::2] = 1
    return np.repeat(inside, runs).reshape(SIZE[1], SIZE[0]).T


def test_sam3_can_leave_each_pixel_to_one_object(server: RunningServer) -> None:
    body = {"images": [IMAGE, IMAGE], "prompts": [["a", "b"], ["a"]], "threshold": 0.0, "output_format": "dense"}
    answer = ask(server, "/inference/sam3", {**body, "resolve_overlaps": [1.0, 0.5]})
    assert [len(results) for results in answer["results"]] == [2, 1]
    masks = [mask for each in answer["results"][0] for mask in each["result"]["masks"]]
    assert np.sum(masks, axis=0).max() == 1


def test_grounding_dinos_printed_request(server: RunningServer) -> None:
    body = as_printed(VISION_SERVER["grounding-dino"])
    assert ask(server, "/inference/grounding-dino", body).keys() == {"results", "model_id", "model", "processing_time"}
    [result] = ask(server, "/inference/grounding-dino", body | {"box_threshold": 0, "text_threshold": 0})["results"]
    thresholds = {"box_threshold": 0, "text_threshold": 0}
    own = only_item(server, "detect", model="grounding-dino", prompt=body["prompts"], **thresholds)["detections"]
    assert own
    assert result["boxes"] == [detection["box"] for detection in own]
    assert result["scores"] == [detection["score"] for detection in own]
    assert result["labels"] == result["text_labels"] == [detection["label"] for detection in own]


def test_depth_anythings_printed_request(server: RunningServer) -> None:
    answer = ask(server, "/inference/depth-anything", as_printed(VISION_SERVER["depth-anything"]))
    assert {"depth_data", "format", "model_id", "processing_time", "metadata"} <= answer.keys()
    own = only_item(server, "depth", model="depth-anything-v3", format="png16")
    assert (answer["depth_data"], answer["format"]) == (own["depth"]["data"], "png_base64")
    assert answer["metadata"]["shape"] == [1, *SIZE]
    with Image.open(io.BytesIO(base64.b64decode(answer["depth_data"]))) as image:
        assert image.size == (80, 60)
        depth = np.asarray(image) * answer["metadata"]["scale"] + answer["metadata"]["offset"]
    listed = ask(server, "/inference/depth-anything", {"images": [IMAGE] * 2, "depth_format": "list"})
    assert np.abs(np.array(listed["depth_data"]) - depth).max() < answer["metadata"]["scale"]
    assert [np.shape(each["depth_data"]) for each in listed["results"]] == [tuple(SIZE)] * 2


def test_dinov3s_printed_request(server: RunningServer) -> None:
    features = ask(server, "/inference/dinov3", as_printed(VISION_SERVER["dinov3"]))["features"]
    own = only_item(server, "features", model="dinov3", tokens=True)
    assert features["last_hidden_state"] == [own["tokens"]["data"]]
    assert features["pooler_output"] == [own["pooled"]]
    assert np.shape(features["last_hidden_state"]) == tuple(features["last_hidden_state_shape"])
    assert np.shape(features["pooler_output"]) == tuple(features["pooler_output_shape"]) == (1, 32)
    coded = ask(server, "/inference/dinov3", {"images": [IMAGE] * 2, "encoding_format": "base64"})["features"]
    tokens = np.array([values(text, [-1, 32]) for text in coded["last_hidden_state"]])
    assert list(tokens.shape) == coded["last_hidden_state_shape"] == [2, *features["last_hidden_state_shape"][1:]]
    assert np.allclose(tokens[0], features["last_hidden_state"][0], atol=1e-6)


@pytest.mark.parametrize("path", ["sam3", "grounding-dino", "depth-anything", "dinov3"])
def test_bad_image_is_named(server: RunningServer, path: str) -> None:
    body = {"images": [IMAGE, base64.b64encode(b"no image").decode()], "prompts": ["person"]}
    answer = server.post(f"/inference/{path}", body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_image", "images.1")


def test_depth_client_draws_depth_and_points(server: RunningServer, tmp_path: Path) -> None:
    drawing().save(tmp_path / "street.png")
    assert "m, 4800 points" in run_client("depth", tmp_path, "street.png", server.url)


def test_vision_models_client(server: RunningServer, tmp_path: Path) -> None:
    drawing().save(tmp_path / "street.png")
    printed = run_client("vision_models", tmp_path, "street.png", server.url)
    assert "Model sam3 loaded successfully" in printed
    assert "sam3: person, " in printed
    assert f"depth-anything: depth.png, {[1, *SIZE]}" in printed
    with Image.open(tmp_path / "depth.png") as depth:
        assert depth.size == (SIZE[1], SIZE[0])
    assert "dinov3: [1, " in printed
    assert "sam3: loaded" in printed
