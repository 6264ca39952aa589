"""A checkpoint that is put into a model folder draws, by its hash and by its name, as the AI Inference API asks."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from scripts.testbed import hub
from scripts.testbed.server import RunningServer, eventually
from tests.conftest import Models
from tests.support.doc_examples import run_client
from tests.support.seed_examples import INFERENCE_API

SD_1 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
PRINTED = INFERENCE_API
pytestmark = pytest.mark.timeout(300)  # the printed request takes long where many tests run at once
SMALL = {**PRINTED, "num_inference_steps": 2, "width": 256, "height": 256}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[RunningServer]:
    """A server without entries, that looks into `ai-models` often, and a hub with the original Stable Diffusion 1."""
    folder = tmp_path_factory.mktemp("folders")
    with hub.serve({SD_1: models("sd_256")}) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", running.url)
        patch.setenv("HF_HOME", str(folder / "cache"))
        sections = {"manager": {"model_scan_interval": 0.2}, "gateway": {"infer_steps": 2}}
        with RunningServer(folder / "server", [], **sections) as server:
            yield server


@pytest.fixture(scope="module")
def checkpoint(server: RunningServer, models: Models) -> dict[str, Any]:
    """What the server lists for a file that was copied into the folder while it ran."""
    folder = server.folder / "ai-models"
    folder.mkdir()
    source = models("sd_file") / "model.ckpt"
    shutil.copy(source, folder / "model1.ckpt")
    entry: dict[str, Any] = eventually(
        "it is listed", lambda: next(iter(server.get("/v1/models").json()["models"]), None)
    )
    assert entry["id"] == hashlib.sha256(source.read_bytes()).hexdigest()
    return dict(entry)


def infer(server: RunningServer, path: str = "/infer", **fields: Any) -> dict[str, Any]:
    response = httpx2.post(server.url + path, json={**SMALL, **fields}, timeout=None, trust_env=False)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_file_is_listed_as_the_api_prints_it(server: RunningServer, checkpoint: dict[str, Any]) -> None:
    source = server.folder / "ai-models" / "model1.ckpt"
    printed = {
        "name": "model1.ckpt",
        "size": source.stat().st_size,
        "path": "ai-models/model1.ckpt",
        "extension": ".ckpt",
    }

    assert checkpoint.items() >= printed.items()
    assert server.get(f"/v1/models/{checkpoint['id']}").json().items() >= printed.items()
    assert server.get("/v1/models").json()["count"] == 1
    assert server.status()["model_folders"]["files"] == 1


def test_request_as_printed_draws(server: RunningServer, checkpoint: dict[str, Any]) -> None:
    answer = infer(server, **PRINTED, model_id=checkpoint["id"])

    [image] = answer.pop("images")
    assert Image.open(io.BytesIO(base64.b64decode(image.pop("base64")))).size == (512, 512)
    assert image == {"seed": 42, "width": 512, "height": 512}
    assert answer.pop("processing_time") > 0
    unchanged = {
        name: PRINTED[name] for name in ("id", "prompt", "negative_prompt", "num_inference_steps", "guidance_scale")
    }
    assert answer == {**unchanged, "model_id": checkpoint["id"]}


def test_images_equal_those_of_the_task(server: RunningServer, checkpoint: dict[str, Any]) -> None:
    answer = infer(server, "/v1/infer", model_id="model1.ckpt", num_images=2, num_inference_steps=3)
    fields = {"steps": 3, "guidance": 7.5, "size": "256x256", "seed": 42, "n": 2}
    texts = {name: PRINTED[name] for name in ("prompt", "negative_prompt")}
    drawn = server.post("/v1/images/generations", {"model": checkpoint["id"], **texts, **fields}).json()

    assert [image["base64"] for image in answer["images"]] == [image["b64_json"] for image in drawn["data"]]
    assert [image["seed"] for image in answer["images"]] == [42, 43]
    assert answer["model_id"] == checkpoint["id"]


def test_default_steps_come_from_the_configuration(server: RunningServer, checkpoint: dict[str, Any]) -> None:
    shortest = {"id": "1", "model_id": checkpoint["id"], "prompt": "a lake", "width": 256, "height": 256}

    assert server.post("/infer", shortest).json()["num_inference_steps"] == 2


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model_id": "model-hash-1"}, 404, "model_id"),
        ({"num_inference_steps": 151}, 400, "num_inference_steps"),
        ({"width": 250}, 400, "width"),
        ({"width": 257}, 400, "width"),
        ({"id": None}, 400, "id"),
    ],
)
def test_errors_name_the_apis_fields(
    server: RunningServer, checkpoint: dict[str, Any], fields: dict[str, Any], status: int, param: str
) -> None:
    response = server.post("/infer", {**SMALL, "model_id": checkpoint["id"], **fields})

    assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text


def test_inference_client(server: RunningServer, checkpoint: dict[str, Any], tmp_path: Path) -> None:
    printed = run_client("inference", tmp_path, "a lake", server.url)
    assert f"{checkpoint['id'][:12]}…  model1.ckpt" in printed
    assert "image-1.png: 256x256, seed " in printed
    with Image.open(tmp_path / "image-1.png") as image:
        assert image.size == (256, 256)


def test_removed_file_is_gone_and_its_worker_too(server: RunningServer, checkpoint: dict[str, Any]) -> None:
    infer(server, model_id=checkpoint["id"])
    (server.folder / "ai-models" / "model1.ckpt").unlink()
    eventually("it is not listed", lambda: server.get("/v1/models").json()["count"] == 0)
    eventually("its worker ends", lambda: server.workers() == [])

    assert server.post("/infer", {**SMALL, "model_id": checkpoint["id"]}).status_code == 404
