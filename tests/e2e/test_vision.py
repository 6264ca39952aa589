"""The families in a real house: each started by a request and answering what its engine answers by itself.

And every example of docs/vision.md, two models for one request, arrays on the wire.
"""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.config import ModelSpec
from contract.tasks import all_tasks
from scripts.testbed.server import House
from tests.conftest import Models
from tests.support.odd_images import drawing
from tests.workers.engines.test_engine_contract import Case, ask, content, drawn, pointed, said, searched, written
from workers.engine import Device
from workers.registry import find_engine

PAGE = (Path(__file__).parents[2] / "docs" / "vision.md").read_text()
ADDRESS = "http://localhost:8000"
PICTURE = written("Hello")
SEEN = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}, {"type": "text", "text": "?"}]
CAMERA = {"fx": 60, "fy": 60, "cx": 60, "cy": 30}


@dataclass(frozen=True)
class Family:
    """A tiny model, its engine, and what it is asked."""

    id: str
    engine: str
    model: str
    task: str
    body: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    entry: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id

    def spec(self, models: Models) -> dict[str, Any]:
        threads = {} if self.engine in {"mlx", "moondream"} else {"threads": 1}
        told = {"id": self.id, "engine": self.engine, "source": str(models(self.model)), "device": "cpu"}
        return {**told, "dtype": "float32", **self.entry, "options": {**threads, **self.options}}


def looked(**fields: Any) -> dict[str, Any]:
    return {"image": PICTURE, **fields}


def chatted() -> dict[str, Any]:
    return {**said("?"), "messages": [{"role": "user", "content": SEEN}]}


FAMILIES = [
    Family("grounding-dino", "transformers_detect", "grounding_dino", "detect", searched("a cat")),
    Family("sam2", "transformers_segment", "sam2", "segment", pointed(30, 30)),
    Family("sam3", "transformers_segment", "sam3", "segment", looked(prompt="a cat", threshold=0, semantic=True)),
    Family("depth-indoor-small", "depth_anything", "depth_metric", "pointcloud", looked(camera_intrinsics=CAMERA)),
    Family("dinov2", "dino", "dinov2", "features", looked(patches=True, layers=[1])),
    Family("blip-base", "blip", "blip", "caption", looked(prompt="a picture")),
    Family("trocr", "transformers_ocr", "trocr", "ocr", looked(), {"max_tokens": 8}),
    Family("florence2", "transformers_ocr", "florence2", "ocr", looked(), {"max_tokens": 8}),
    Family("vlm-fast", "moondream", "moondream", "detect", searched("a cat"), entry={"trust_remote_code": True}),
    Family("vlm-best", "transformers_chat", "qwen2_5_vl", "chat", chatted()),
    Family("smolvlm", "mlx", "mlx_smolvlm", "chat", chatted()),
    Family("stable-diffusion", "diffusers_image", "sd", "image-edit", drawn("a cat", image=PICTURE, strength=0.9)),
    Family("clip", "sentence_transformers", "clip", "embeddings", {"input": ["a cat", {"image": PICTURE}]}),
]
"""The ids are those of the shipped configuration, which the examples name; tiny models stand in for the real ones."""


PRINTS = {
    "Detection": {"bash": ['"detections":['], "python": [" found"]},
    "Segmentation": {"bash": ['"polygons":'], "python": [" found"]},
    "Depth and point clouds": {"bash": ["x-array-shape: 60,80"], "python": ["(4800, 3) uint8", '{"object": "list"']},
    "Features": {"python": ["32 "]},
    "Captions, text, questions": {"bash": ['"text":"', '"task":"objects"', '"describe"']},
}
"""What the examples print."""


def examples() -> list[Any]:
    """Heading, language and text of each example."""
    parts = re.split(r"(?m)^## (.+)$", PAGE)[1:]
    sections = zip(parts[::2], parts[1::2], strict=True)
    found = [
        (title, *block) for title, text in sections for block in re.findall(r"(?s)```(bash|python)\n(.*?)```", text)
    ]
    return [pytest.param(*example, id=f"{example[0]}-{example[1]}-{number}") for number, example in enumerate(found)]


@pytest.fixture(scope="module")
def house(models: Models, model_code: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    entries = [family.spec(models) for family in FAMILIES]
    with House(tmp_path_factory.mktemp("vision"), entries) as house:
        yield house


@pytest.mark.parametrize("family", FAMILIES, ids=str)
async def test_a_family_answers_in_a_house_what_its_engine_answers(
    family: Family, house: House, models: Models
) -> None:
    task = all_tasks()[family.task]
    answer = house.post(task.path, {"model": family.id, **family.body})
    assert answer.status_code == 200, answer.text

    engine = find_engine(family.engine)()
    engine.load(ModelSpec.model_validate(family.spec(models)), Device("cpu", "float32"))
    [alone] = await ask(engine, Case(family.engine, family.task, family.body, {}, {}), family.body)
    travelled = task.response.model_validate(alone.model_dump(mode="json"))
    assert content(task.response.model_validate(answer.json())) == content(travelled)


@pytest.fixture(scope="module")
def picture() -> str:
    out = io.BytesIO()
    drawing().save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize(("title", "language", "text"), examples())
def test_an_example_works(house: House, tmp_path: Path, title: str, language: str, text: str) -> None:
    assert ADDRESS in text
    drawing().save(tmp_path / "street.png")
    program = {"bash": ["bash", "-euc"], "python": [sys.executable, "-c"]}[language]
    text = text.replace(ADDRESS, house.url)
    done = subprocess.run([*program, text], cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert any(words in done.stdout for words in PRINTS[title][language]), done.stdout


def test_a_detectors_boxes_prompt_a_segmenter(house: House, picture: str) -> None:
    asked = {
        "model": "grounding-dino",
        "image": picture,
        "prompt": "a red box",
        "box_threshold": 0,
        "max_detections": 3,
    }
    found = house.post("/v1/vision/detect", asked).json()["data"][0]["detections"]
    assert found
    grounded = {**asked, "model": "sam2", "detector": "grounding-dino", "threshold": 0}
    answer = house.post("/v1/vision/segment", grounded)
    assert answer.status_code == 200, answer.text
    segments = answer.json()["data"][0]["segments"]
    assert [(one["label"], one["detection_score"]) for one in segments] == [
        (one["label"], one["score"]) for one in found
    ]
    boxes = [{"boxes": [one["box"]], "image": 0} for one in found]
    directly = house.post("/v1/vision/segment", {"model": "sam2", "image": picture, "prompts": boxes, "threshold": 0})
    assert [one["mask"] for one in segments] == [one["mask"] for one in directly.json()["data"][0]["segments"]]


def test_nothing_found_means_nothing_segmented(house: House, picture: str) -> None:
    body = {"model": "sam2", "detector": "grounding-dino", "image": picture, "prompt": "a red box", "box_threshold": 1}
    answer = house.post("/v1/vision/segment", body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["segments"] == []


def test_every_form_of_an_array_holds_the_same_numbers(house: House, picture: str) -> None:
    body = {"model": "depth-indoor-small", "image": picture}
    item = house.post("/v1/vision/depth", body).json()["data"][0]
    depth = np.frombuffer(base64.b64decode(item["depth"]["data"]), "<f4").reshape(item["depth"]["shape"])
    assert depth.shape == (60, 80)
    assert (item["unit"], item["min"], item["max"]) == ("metre", float(depth.min()), float(depth.max()))

    raw = house.post("/v1/vision/depth", body, headers={"accept": "application/octet-stream"})
    assert (raw.headers["x-array-dtype"], raw.headers["x-array-shape"]) == ("float32", "60,80")
    assert raw.content == depth.tobytes()

    npz = house.post("/v1/vision/depth", body, headers={"accept": "application/x-npz"})
    assert npz.headers["content-type"] == "application/x-npz"
    assert np.array_equal(np.load(io.BytesIO(npz.content))["0.depth"], depth)


def test_two_arrays_are_no_raw_bytes(house: House, picture: str) -> None:
    body = {"model": "depth-indoor-small", "images": [picture, picture]}
    answer = house.post("/v1/vision/depth", body, headers={"accept": "application/octet-stream"})
    assert answer.status_code == 406
    error = answer.json()["error"]
    assert error["code"] == "not_acceptable"
    assert "0.depth, 1.depth" in error["message"]
    assert "application/x-npz" in error["message"]
