"""Loading through transformers: whose checkpoint it is, in which precision, and what is said when it cannot be."""

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
from workers import pretrained
from workers.engine import Device, find, names
from workers.pretrained import Checkpoint, TorchOptions, checkpoint, keywords_for

CPU = Device("cpu", "float32")


def entry(source: Path | str, name: str = "transformers_chat", **fields: Any) -> ModelSpec:
    return ModelSpec.model_validate({"id": "m", "engine": name, "source": str(source), **fields})


def saved(folder: Path, model_type: str) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """A language model in some precision; wide enough for bitsandbytes' blocks of 64."""
    pretrained.prepare(TorchOptions(threads=1))
    from tests.models.chat import build_lm

    folder = tmp_path_factory.mktemp("lm")
    build_lm(folder, hidden_size=128, intermediate_size=256)

    def loaded(quantization: str | None = None) -> Any:
        found = Checkpoint(entry(folder), folder, {})
        options = TorchOptions.model_validate({"quantization": quantization})
        return found.model("AutoModelForCausalLM", CPU, options)

    return loaded


@pytest.mark.parametrize(("quantization", "share", "error"), [("8bit", 0.5, 0.1), ("4bit", 0.4, 0.6)])
def test_quantised_weights_are_smaller_and_say_nearly_the_same(
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
def test_encoders_of_pictures_are_quantised_whatever_their_layers_sides(
    models: Models, quantization: str, error: float
) -> None:
    import torch

    folder = models("sam")  # its layers see (pictures, rows, columns, values), of sides that are no multiples of 64
    found = Checkpoint(entry(folder), folder, {})
    plain, small = (
        found.model("AutoModelForMaskGeneration", CPU, TorchOptions.model_validate({"quantization": bits}))
        for bits in (None, quantization)
    )
    side = plain.config.vision_config.image_size
    with torch.inference_mode():
        pixels = torch.linspace(-1, 1, 3 * side * side).reshape(1, 3, side, side)
        exact, rounded = (model.get_image_embeddings(pixels).float() for model in (plain, small))
    assert float((exact - rounded).abs().mean() / exact.abs().mean()) < error


def test_a_tokenizer_without_words_is_refused(models: Models, tmp_path: Path) -> None:
    folder = shutil.copytree(models("lm"), tmp_path / "lm")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(LoadFailed, match="lacks the files of its tokenizer"):
        Checkpoint(entry(folder), folder, {}).processor("AutoTokenizer")


def test_four_bits_on_apples_gpus_name_the_engine_that_has_them() -> None:
    with pytest.raises(LoadFailed, match="engine mlx"):
        keywords_for(Device("mps", "float16"), "4bit")


def test_eight_bits_on_apples_gpus_are_torchaos() -> None:
    told = keywords_for(Device("mps", "float16"), "8bit")["quantization_config"]
    assert type(told).__name__ == "TorchAoConfig"


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)
    with pytest.raises(LoadFailed, match="make setup ENGINES=quantization"):
        keywords_for(Device("cuda", "bfloat16"), "8bit")


@pytest.mark.parametrize(
    ("kind", "place"), [("cuda", {"device_map": "cuda:0"}), ("mps", {"device_map": "mps"}), ("cpu", {})]
)
def test_a_device_means_a_place_and_a_precision(kind: str, place: dict[str, str]) -> None:
    import torch

    assert keywords_for(Device(kind, "bfloat16")) == {"dtype": torch.bfloat16, **place}
    assert keywords_for(Device(kind)) == {"dtype": "auto", **place}


def test_a_type_that_no_engine_serves_gets_the_engines_and_how_to_add_one(tmp_path: Path) -> None:
    spec = entry(saved(tmp_path, "brand_new"), "transformers_segment")
    with pytest.raises(LoadFailed, match=r"'brand_new', which no engine serves.*docs/adding-a-model\.md") as failed:
        checkpoint(spec, find("transformers_segment"))
    assert all(name in str(failed.value) for name in names())


@pytest.mark.parametrize(
    ("model_type", "other"),
    [("sam2", "transformers_segment"), ("blip", "blip"), ("qwen2_5_vl", "transformers_chat"),
     ("llama", "transformers_chat"), ("bert", "sentence_transformers")],
)  # fmt: skip
def test_a_type_of_another_engine_names_that_engine(tmp_path: Path, model_type: str, other: str) -> None:
    with pytest.raises(LoadFailed, match=rf"[wW]rite `engine: {other}`"):
        checkpoint(entry(saved(tmp_path, model_type), "transformers_detect"), find("transformers_detect"))


def test_a_folder_without_a_configuration_is_none(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"no config\.json"):
        checkpoint(entry(tmp_path), find("transformers_detect"))
