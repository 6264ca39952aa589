"""One server for all tests of vision: a tiny model of each family, with a fake engine for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from scripts.testbed.server import RunningServer, fake_model
from tests.conftest import Models
from tests.support.engine_cases import chat, detect, draw, segment, text_image

IMAGE = text_image("Hello")
CONTENT = [
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
    {"type": "text", "text": "?"},
]
CAMERA = {"fx": 60, "fy": 60, "cx": 60, "cy": 30}


@dataclass(frozen=True)
class Family:
    """A tiny model, its engine, and a request for it."""

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
        entry = {"id": self.id, "engine": self.engine, "source": str(models(self.model)), "device": "cpu"}
        return {**entry, "dtype": "float32", **self.entry, "options": {**threads, **self.options}}


def image_body(**fields: Any) -> dict[str, Any]:
    return {"image": IMAGE, **fields}


def chat_body() -> dict[str, Any]:
    return {**chat("?"), "messages": [{"role": "user", "content": CONTENT}]}


FAMILIES = [
    Family(
        "grounding-dino",
        "transformers_detect",
        "grounding_dino",
        "detect",
        detect("a cat"),
        entry={"default": ["detect"]},
    ),
    Family("sam2", "transformers_segment", "sam2", "segment", segment(30, 30)),
    Family(
        "sam3",
        "transformers_segment",
        "sam3",
        "segment",
        image_body(prompt="a cat", threshold=0, semantic=True),
        entry={"default": ["segment"]},
    ),
    Family(
        "depth-indoor-large",
        "depth_anything",
        "depth_metric",
        "pointcloud",
        image_body(camera_intrinsics=CAMERA),
        entry={"aliases": ["depth-indoor-small", "vitl-hypersim", "vits-hypersim", "depth-anything-v3"]},
    ),
    Family("dinov3", "dino", "dinov3", "features", image_body(patches=True, layers=[1]), entry={"aliases": ["dinov2"]}),
    Family("blip-base", "blip", "blip", "caption", image_body(prompt="a photo"), entry={"default": ["caption"]}),
    Family("trocr", "transformers_ocr", "trocr", "ocr", image_body(), {"max_tokens": 8}),
    Family("florence2", "transformers_ocr", "florence2", "ocr", image_body(), {"max_tokens": 8}),
    Family("vlm-fast", "moondream", "moondream", "detect", detect("a cat"), entry={"trust_remote_code": True}),
    Family("vlm-best", "transformers_chat", "qwen2_5_vl", "chat", chat_body()),
    Family("smolvlm", "mlx", "mlx_smolvlm", "chat", chat_body()),
    Family("stable-diffusion", "diffusers_image", "sd", "image-edit", draw("a cat", image=IMAGE, strength=0.9)),
    Family("clip", "sentence_transformers", "clip", "embeddings", {"input": ["a cat", {"image": IMAGE}]}),
]
"""The names are those of the shipped configuration, which the examples use; tiny models stand in for the real ones."""

_DEFAULTS = {"demo-chat": "chat", "demo-image": "image-generation", "bge-reranker": "rerank"}
_FAKES = [{**fake_model(name), "default": [task]} for name, task in _DEFAULTS.items()]
"""Models of the shipped configuration that only the examples in the docs use."""

MODELS = [*(family.id for family in FAMILIES), "minilm", *(entry["id"] for entry in _FAKES)]
"""The models of the server, in the order of its configuration."""


@pytest.fixture(scope="package")
def server(models: Models, model_code: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    fake = {**fake_model("minilm"), "default": ["embeddings", "ocr"]}
    entries = [*(family.spec(models) for family in FAMILIES), fake, *_FAKES]
    with RunningServer(tmp_path_factory.mktemp("vision"), entries) as server:
        yield server
