"""The homelab's API in a running server: values equal to the tasks' own, forms, and upper-case errors."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.testbed.server import RunningServer
from tests.e2e.vision.conftest import MODELS
from tests.support.doc_examples import run_client
from tests.support.sample_images import png

FILES = [png(64, 48), png(80, 60)]
IMAGES = [base64.b64encode(file).decode() for file in FILES]


def ok(response: httpx2.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def test_caption_equals_the_tasks(server: RunningServer) -> None:
    response = server.post("/api/caption", {"image": IMAGES[0], "model": "blip-base"})
    answer = ok(response)
    own = ok(server.post("/v1/vision/caption", {"image": IMAGES[0]}))

    assert answer.keys() == {"request_id", "caption", "model_used", "processing_time_ms"}
    assert answer["caption"] == own["data"][0]["text"]
    assert (answer["model_used"], answer["request_id"]) == ("blip-base", response.headers["x-request-id"])
    assert isinstance(answer["processing_time_ms"], int)


def test_files_and_json_get_the_same_captions(server: RunningServer) -> None:
    form = [("image", ("a.png", FILES[0])), ("batch", ("b.png", FILES[1])), ("batch", ("c.png", FILES[0]))]
    from_form = ok(server.post("/api/caption", files=form))
    from_json = ok(server.post("/api/caption", {"image": IMAGES[0], "batch": [IMAGES[1], IMAGES[0]]}))

    assert from_form["captions"] == from_json["captions"]
    assert from_form["captions"][0] == from_form["captions"][2] == from_form["caption"]


def test_embeddings_equal_the_tasks(server: RunningServer) -> None:
    answer = ok(server.post("/api/embed", {"texts": ["text1", "text2"]}))
    own = ok(server.post("/v1/embeddings", {"input": ["text1", "text2"], "model": "minilm"}))

    assert answer["embeddings"] == [item["embedding"] for item in own["data"]]
    assert (answer["dimensions"], answer["model_used"]) == (len(answer["embeddings"][0]), "minilm")


def test_text_equals_the_tasks(server: RunningServer) -> None:
    answer = ok(server.post("/api/ocr", files={"image": ("a.png", FILES[0])}))
    [own] = ok(server.post("/v1/vision/ocr", {"image": IMAGES[0]}))["data"]

    assert (answer["text"], answer["lines"]) == (own["text"], own["lines"])


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/caption", {"image": IMAGES[0], "model": "nonexistent-model"}, 404, "MODEL_NOT_FOUND"),
        ("/api/caption", {"model": "blip-base"}, 400, "INVALID_REQUEST"),
        ("/api/caption", {"image": "aGVsbG8="}, 400, "INVALID_REQUEST"),
        ("/api/embed", {"texts": []}, 400, "INVALID_REQUEST"),
        ("/api/embed", {}, 400, "INVALID_REQUEST"),
        ("/api/nothing", {}, 404, "NOT_FOUND"),
    ],
)
def test_errors_have_upper_case_codes(
    server: RunningServer, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    response = server.post(path, body)
    error = response.json()["error"]

    assert (response.status_code, error["code"]) == (status, code), response.text
    assert error["request_id"] == response.headers["x-request-id"]
    if code == "MODEL_NOT_FOUND":
        assert error["details"] == {"model_id": "nonexistent-model", "available_models": MODELS}


def test_status_shows_the_loaded_models(server: RunningServer) -> None:
    ok(server.post("/api/embed", {"texts": ["a"]}))
    status = ok(server.get("/api/status"))

    assert "minilm" in status["models_loaded"]
    assert [model["id"] for model in status["models"]] == MODELS


def test_error_names_the_image_of_the_batch(server: RunningServer) -> None:
    error = server.post("/api/caption", {"batch": [IMAGES[0], "aGVsbG8="]}).json()["error"]

    assert error["param"] == "batch.1"


def test_homelab_client(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(FILES[0])
    printed = run_client("homelab", tmp_path, "a.png", server.url)
    own = ok(server.post("/api/caption", {"image": IMAGES[0]}))["caption"]
    assert "blip-base: BLIP" in printed
    assert f"caption: {own!r} by blip-base" in printed
    assert "embeddings: 2 of " in printed
    assert "loaded: " in printed
