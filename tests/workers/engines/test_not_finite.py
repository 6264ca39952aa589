"""Models whose weights are NaN: every engine says so for the input, and answers no `null` and no empty list."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import EngineFailed
from tests.conftest import Models
from tests.support.engine_cases import Case, ask, text_image
from workers.engine import Device
from workers.registry import find_engine

IMAGE = {"image": text_image("Hello")}
POINT = {"points": [[30, 30]]}
CAMERA = {"fx": 100, "fy": 100, "cx": 60, "cy": 30}
REQUESTS = [
    ("sentence_transformers", "embeddings", "minilm", {"input": "a"}),
    ("sentence_transformers", "embeddings", "clip", {"image": IMAGE["image"]}),
    ("mlx", "embeddings", "mlx_minilm", {"input": "a"}),
    ("dino", "features", "dinov2", {**IMAGE, "patches": True}),
    ("dino", "features", "dinov3_convnext", {**IMAGE, "layers": [1]}),
    *(("depth_anything", "depth", family, {**IMAGE, "format": form})
      for family in ("depth_relative", "depth_metric", "depth_pro", "zoedepth") for form in ("float32", "png16")),
    ("depth_anything", "pointcloud", "depth_metric", {**IMAGE, "camera_intrinsics": CAMERA, "format": "ply"}),
    ("transformers_detect", "detect", "grounding_dino", {**IMAGE, "prompt": "cat"}),
    ("transformers_detect", "detect", "owlv2", {**IMAGE, "prompt": "cat"}),
    ("transformers_detect", "detect", "detr", IMAGE),
    ("transformers_segment", "segment", "sam", {**IMAGE, "prompts": [POINT]}),
    ("transformers_segment", "segment", "sam2", {**IMAGE, "prompts": [POINT]}),
    ("transformers_segment", "segment", "sam2", {**IMAGE, "automatic": True}),
    ("transformers_segment", "segment", "sam3", {**IMAGE, "prompt": "cat", "semantic": True}),
    ("transformers_segment", "segment", "sam3", {**IMAGE, "prompts": [POINT]}),
    ("transformers_ocr", "ocr", "trocr", IMAGE),
    ("transformers_ocr", "ocr", "florence2", IMAGE),
]  # fmt: skip


def without_numbers(source: Path, folder: Path) -> Path:
    """A copy of a model with NaN for all its weights, except its integers."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    files = list(folder.rglob("*.safetensors"))
    assert files
    for file in files:
        weights = load_file(file)
        for tensor in weights.values():
            if tensor.is_floating_point():
                tensor.fill_(torch.nan)
        save_file(weights, file, {"format": "pt"})
    return folder


@pytest.mark.parametrize(("engine", "task", "family", "body"), REQUESTS)
async def test_nan_is_an_error_that_names_the_input(
    engine: str, task: str, family: str, body: dict[str, Any], models: Models, tmp_path: Path
) -> None:
    options = {"max_tokens": 8} if engine == "transformers_ocr" else {}
    entry = {"id": "broken", "engine": engine, "tasks": [task] if engine == "mlx" else [], "options": options}
    loaded = find_engine(engine)()
    source = without_numbers(models(family), tmp_path / "model")
    loaded.load(ModelSpec.model_validate({**entry, "source": str(source)}), Device("cpu", "float32"))
    [error] = await ask(loaded, Case(engine, task, body, body, body), body)
    assert isinstance(error, EngineFailed), error
    what = "text" if "input" in body else "image"
    assert f"broken computed values that are not numbers (NaN or infinity) for {what} 0." in error.message
    assert error.details == {"index": 0}
