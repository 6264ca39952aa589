"""Models whose weights are NaN: every engine says so for the input, and answers no `null` and no empty list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import EngineFailed
from contract.tasks.completions import CompletionRequest
from scripts.testbed.models import mflux
from tests.conftest import Models
from tests.support import chat_engines, moondream_engines
from tests.support.batching import feed_of
from tests.support.changed_weights import without_a_letter, without_numbers
from tests.support.chat_engines import request
from tests.support.engine_cases import Case, ask, draw, text_image
from workers.engine import Call, Device
from workers.registry import find_engine

IMAGE = {"image": text_image("Hello")}
POINT = {"points": [[30, 30]]}
CAMERA = {"fx": 100, "fy": 100, "cx": 60, "cy": 30}
REQUESTS = [
    ("sentence_transformers", "embeddings", "minilm", {"input": "a"}),
    ("sentence_transformers", "embeddings", "clip", {"image": IMAGE["image"]}),
    ("mlx", "embeddings", "mlx_minilm", {"input": "a"}),
    ("cross_encoder", "rerank", "bge_reranker", {"query": "a", "documents": ["b"]}),
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
    ("moondream", "caption", "moondream", IMAGE),
    ("moondream", "detect", "moondream", {**IMAGE, "prompt": "cat"}),
    ("diffusers_image", "image-generation", "sd", draw("cat", n=2)),
    ("diffusers_image", "image-edit", "sd", draw("cat", **IMAGE)),
    ("mlx", "image-generation", "mflux_schnell", draw("cat")),
    ("transformers_ocr", "ocr", "trocr", IMAGE),
    ("transformers_ocr", "ocr", "florence2", IMAGE),
    ("transformers_ocr", "ocr", "got_ocr2", IMAGE),
    ("transformers_ocr", "ocr", "paddleocr_vl", IMAGE),
    ("blip", "caption", "blip", IMAGE),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "task", "family", "body"), REQUESTS)
async def test_nan_is_an_error_that_names_the_input(
    engine: str,
    task: str,
    family: str,
    body: dict[str, Any],
    models: Models,
    model_code: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if family.startswith("mflux"):
        mflux.shrink(monkeypatch)
    options = {"max_tokens": 8} if engine == "transformers_ocr" else {}
    entry = {"id": "broken", "engine": engine, "tasks": [task] if engine == "mlx" else [], "options": options}
    entry["trust_remote_code"] = engine == "moondream"
    loaded = find_engine(engine)()
    source = without_numbers(models(family), tmp_path / "model")
    loaded.load(ModelSpec.model_validate({**entry, "source": str(source)}), Device("cpu", "float32"))
    [error] = await ask(loaded, Case(engine, task, body, body, body), body)
    assert isinstance(error, EngineFailed), error
    what = "text" if "input" in body else "document" if "documents" in body else "image"
    assert "computed values that are not numbers (NaN or infinity) for " + f"{what} 0." in error.message
    assert error.details == {"index": 0}


CHAT_MODELS = [("transformers_chat", "lm"), ("transformers_chat", "smolvlm"), ("mlx", "mlx_lm"), ("mlx", "mlx_smolvlm")]


@pytest.mark.parametrize(("engine", "family"), CHAT_MODELS)
def test_a_chat_without_numbers_fails_alone(engine: str, family: str, models: Models, tmp_path: Path) -> None:
    loaded = chat_engines.load(without_a_letter(models(family), tmp_path / "model"), engine)
    expected = chat_engines.text(chat_engines.ask(loaded, "Hello"))
    asked = [request("Hello"), request("ZZZ", n=2), request("ZZZ", temperature=1, seed=1), request("Hello")]
    outputs = chat_engines.run(loaded, *asked)
    for output in (outputs[0], outputs[3]):
        assert chat_engines.text(chat_engines.whole(output)) == expected
    for output in outputs[1:3]:
        [error] = output
        assert isinstance(error, EngineFailed)
        assert "tiny computed scores that are not numbers" in error.message
        assert "`dtype`, float32" in error.message


@pytest.mark.parametrize(("engine", "family"), CHAT_MODELS[::2])
def test_a_chat_model_without_any_number_names_its_dtype(
    engine: str, family: str, models: Models, tmp_path: Path
) -> None:
    loaded = chat_engines.load(without_numbers(models(family), tmp_path / "model"), engine)
    with pytest.raises(EngineFailed, match="`dtype`, float32"):
        chat_engines.ask(loaded, "Hello")


@pytest.mark.parametrize(("engine", "family"), CHAT_MODELS)
@pytest.mark.parametrize("limit", [0, 1])
def test_a_prompt_without_probabilities_fails(
    engine: str, family: str, limit: int, models: Models, tmp_path: Path
) -> None:
    loaded = chat_engines.load(without_a_letter(models(family), tmp_path / "model"), engine)
    fields = {"echo": True, "logprobs": 1, "max_tokens": limit}
    broken, fine = (Call(CompletionRequest(prompt=prompt, **fields)) for prompt in ("Hello ZZZ", "Hello"))
    outputs = [(call, output) for call, output in loaded.chat(feed_of([broken, fine]))]
    [error] = [output for call, output in outputs if call is broken]
    assert isinstance(error, EngineFailed)
    assert [output for call, output in outputs if call is fine][-1] is None


@pytest.mark.parametrize("temperature", [0, 1])
def test_moondream_without_an_image_names_its_dtype(
    temperature: float, models: Models, model_code: None, tmp_path: Path
) -> None:
    loaded = moondream_engines.load(without_numbers(models("moondream"), tmp_path / "model"))
    [*_, error] = [piece for _, piece in loaded.chat([Call(request("Hello", temperature=temperature))])]
    assert isinstance(error, EngineFailed), error
    assert "moon computed scores that are not numbers" in error.message
    assert "`dtype`, bfloat16" in error.message
