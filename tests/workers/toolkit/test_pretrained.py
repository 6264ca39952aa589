"""Loading with transformers: precision, quantization, and errors for checkpoints of other engines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.errors import LoadFailed
from tests.conftest import Models
from workers.engine import Device
from workers.registry import engine_names, find_engine
from workers.toolkit import pretrained
from workers.toolkit.pretrained import Checkpoint, TorchOptions, checkpoint, from_pretrained_arguments

CPU = Device("cpu", "float32")


def entry(source: Path | str, name: str = "transformers_chat", **fields: Any) -> ModelSpec:
    return ModelSpec.model_validate({"id": "m", "engine": name, "source": str(source), **fields})


def saved(folder: Path, model_type: str) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A language model in some precision; wide enough for bitsandbytes' blocks of 64."""
    pretrained.set_up_torch(TorchOptions(threads=1))
    from scripts.testbed.models.chat import build_lm

    folder = tmp_path_factory.mktemp("lm")
    build_lm(folder, hidden_size=128, intermediate_size=256)

    def loaded(quantization: str | None = None) -> Any:
        loaded = Checkpoint(entry(folder), folder, {})
        options = TorchOptions.model_validate({"quantization": quantization})
        return loaded.model("AutoModelForCausalLM", CPU, options)

    return loaded


@pytest.mark.parametrize(("quantization", "share", "error"), [("8bit", 0.5, 0.1), ("4bit", 0.4, 0.6)])
def test_quantised_model_is_smaller_and_nearly_equal(
    load: Callable[..., Any], quantization: str, share: float, error: float
) -> None:
    import torch

    plain, small = load(), load(quantization)
    assert small.get_memory_footprint() < plain.get_memory_footprint()
    layer = "model.layers.0.mlp.up_proj"
    full, packed = (model.get_submodule(layer).weight for model in (plain, small))
    assert packed.nbytes <= share * full.nbytes
    with torch.inference_mode():
        tokens = torch.arange(1, 9)[None]
        exact, rounded = (model(tokens).logits.float() for model in (plain, small))
    assert float((exact - rounded).abs().mean() / exact.abs().mean()) < error


@pytest.mark.parametrize(("quantization", "error"), [("8bit", 0.1), ("4bit", 0.6)])
def test_quantises_image_encoders_of_any_layer_size(models: Models, quantization: str, error: float) -> None:
    import torch

    folder = models("sam")  # layers with inputs (images, rows, columns, values) and sides that are no multiples of 64
    loaded = Checkpoint(entry(folder), folder, {})
    plain, small = (
        loaded.model("AutoModelForMaskGeneration", CPU, TorchOptions.model_validate({"quantization": bits}))
        for bits in (None, quantization)
    )
    side = plain.config.vision_config.image_size
    with torch.inference_mode():
        pixels = torch.linspace(-1, 1, 3 * side * side).reshape(1, 3, side, side)
        exact, rounded = (model.get_image_embeddings(pixels).float() for model in (plain, small))
    assert float((exact - rounded).abs().mean() / exact.abs().mean()) < error


def test_refuses_a_tokenizer_without_vocabulary(models: Models, tmp_path: Path) -> None:
    folder = shutil.copytree(models("lm"), tmp_path / "lm")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(LoadFailed, match="lacks the files of its tokenizer"):
        Checkpoint(entry(folder), folder, {}).processor("AutoTokenizer")


def test_4bit_on_mps_suggests_the_mlx_engine() -> None:
    with pytest.raises(LoadFailed, match="engine mlx"):
        from_pretrained_arguments(Device("mps", "float16"), "4bit")


def test_8bit_on_mps_uses_torchao() -> None:
    config = from_pretrained_arguments(Device("mps", "float16"), "8bit")["quantization_config"]
    assert type(config).__name__ == "TorchAoConfig"


def test_names_a_missing_quantization_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)
    with pytest.raises(LoadFailed, match="make setup ENGINES=quantization"):
        from_pretrained_arguments(Device("cuda", "bfloat16"), "8bit")


@pytest.mark.parametrize(
    ("device", "placement"), [("cuda", {"device_map": "cuda:0"}), ("mps", {"device_map": "mps"}), ("cpu", {})]
)
def test_device_sets_device_map_and_dtype(device: str, placement: dict[str, str]) -> None:
    import torch

    assert from_pretrained_arguments(Device(device, "bfloat16")) == {"dtype": torch.bfloat16, **placement}
    assert from_pretrained_arguments(Device(device)) == {"dtype": "auto", **placement}


def test_unserved_model_type_lists_engines_and_docs(tmp_path: Path) -> None:
    spec = entry(saved(tmp_path, "brand_new"), "transformers_segment")
    with pytest.raises(LoadFailed, match=r"'brand_new', which no engine serves.*docs/adding-a-model\.md") as failed:
        checkpoint(spec, find_engine("transformers_segment"))
    assert all(name in str(failed.value) for name in engine_names())


@pytest.mark.parametrize(
    ("model_type", "other"),
    [("sam2", "transformers_segment"), ("blip", "blip"), ("qwen2_5_vl", "transformers_chat"),
     ("llama", "transformers_chat"), ("bert", "sentence_transformers")],
)  # fmt: skip
def test_model_type_of_another_engine_names_it(tmp_path: Path, model_type: str, other: str) -> None:
    with pytest.raises(LoadFailed, match=rf"[wW]rite `engine: {other}`"):
        checkpoint(entry(saved(tmp_path, model_type), "transformers_detect"), find_engine("transformers_detect"))


def test_refuses_a_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"no config\.json"):
        checkpoint(entry(tmp_path), find_engine("transformers_detect"))
