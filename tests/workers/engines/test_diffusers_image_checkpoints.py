"""Single checkpoint files and quantised weights draw what the whole folder draws, or nearly, or fail with advice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import huggingface_hub.hf_api
import numpy as np
import pytest
import yaml

from contract.config import ModelSpec
from contract.errors import LoadFailed
from scripts.testbed import hub
from tests.conftest import Models
from tests.support.image_engines import draw, load, pixels
from workers import describe
from workers.engine import Device
from workers.engines.diffusers_image.quantizing import part_config
from workers.registry import find_engine

SD_1 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_TEMPLATE = "/{repo_id}/resolve/{revision}/{filename}"


@pytest.fixture
def served(models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.Hub]:
    """A local hub with the original Stable Diffusion 1 and a repository of single files, and an empty cache."""
    repositories = {SD_1: models("sd"), "an/artist": models("sd_file"), "a/gated": models("sd")}
    with hub.serve(repositories, gated=frozenset({"a/gated"})) as running:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.url)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", running.url)  # diffusers uses it too
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + _TEMPLATE)
        yield running


@pytest.fixture(scope="module")
def expected(models: Models) -> dict[str, Any]:
    """An image of each family, drawn from its whole folder."""
    return {family: image(load(models(family))) for family in ("sd", "flux")}


def image(engine: Any) -> Any:
    return pixels(draw(engine, seed=7)).astype(int)


# Single files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "model.ckpt"])
def test_single_file_draws_what_its_folder_draws(models: Models, expected: dict[str, Any], name: str) -> None:
    engine = load(models("sd_file") / name, config=str(models("sd")))

    assert np.array_equal(image(engine), expected["sd"])
    assert engine.loaded_features() == {"mask", "output_format", "strength"}


def test_configuration_comes_from_the_original_model(models: Models, expected: dict[str, Any], served: hub.Hub) -> None:
    assert np.array_equal(image(load(models("sd_file") / "model.safetensors")), expected["sd"])

    asked = [path for path in served.requests if "/resolve/" in path]
    assert asked
    assert all(SD_1 in path for path in asked)
    assert not any(path.endswith((".safetensors", ".bin")) for path in asked), "its weights are not wanted"
    served.requests.clear()
    load(models("sd_file") / "model.ckpt")
    assert served.requests == [], "the second time the cache knows"


def test_downloads_a_whole_repository(expected: dict[str, Any], served: hub.Hub) -> None:
    assert np.array_equal(image(load(SD_1)), expected["sd"])


@pytest.mark.parametrize("options", [{}, {"quantization": "8bit"}])
@pytest.mark.parametrize(
    ("source", "expected_text"), [("a/gated", "accept its terms"), ("a/missing", "The hub has no model")]
)
def test_explains_what_the_hub_refuses(
    source: str, expected_text: str, options: dict[str, Any], served: hub.Hub
) -> None:
    with pytest.raises(LoadFailed, match=expected_text):
        load(source, **options)


def test_loads_a_single_file_of_a_repository(models: Models, expected: dict[str, Any], served: hub.Hub) -> None:
    assert np.array_equal(image(load("an/artist/model.safetensors")), expected["sd"])
    assert not any(path.endswith(".ckpt") for path in served.requests)
    with pytest.raises(LoadFailed, match=r"no file an/artist/other\.safetensors"):
        load("an/artist/other.safetensors")


def test_unreachable_hub_suggests_a_local_config(
    models: Models, served: hub.Hub, monkeypatch: pytest.MonkeyPatch, unused_tcp_port_factory: Callable[[], int]
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{unused_tcp_port_factory()}")
    with pytest.raises(
        ConnectionError, match=rf"configuration of model.safetensors is taken from {SD_1}.*`options.config`"
    ):
        load(models("sd_file") / "model.safetensors")


class RunsCode:
    """Creates a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


def test_refuses_a_pickle_with_code_without_running_it(tmp_path: Path, models: Models) -> None:
    import torch

    torch.save({"state_dict": {}, "callbacks": RunsCode(tmp_path / "run")}, tmp_path / "model.ckpt")

    with pytest.raises(LoadFailed, match=r"could run code. Use the model's .safetensors"):
        load(tmp_path / "model.ckpt", config=str(models("sd")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "expected_text"),
    [
        ("model.safetensors", b"not weights", "damaged or no checkpoint"),
        ("model.gguf", b"not weights", "damaged or no checkpoint"),
        ("model.onnx", b"", r"no checkpoint file \(\.safetensors"),
    ],
)
def test_refuses_files_that_are_no_checkpoint(tmp_path: Path, name: str, content: bytes, expected_text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadFailed, match=expected_text):
        load(tmp_path / name)


def test_refuses_an_adapter(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"lora_unet_down_blocks_0.lora_down.weight": torch.zeros(4, 4)}, tmp_path / "style.safetensors")

    with pytest.raises(LoadFailed, match=r"an adapter \(LoRA\)"):
        load(tmp_path / "style.safetensors")


def test_refuses_a_file_with_missing_weights(tmp_path: Path, models: Models) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(models("sd_file") / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "middle_block" not in k}, tmp_path / "model.safetensors")

    with pytest.raises(LoadFailed, match="lacks weights of a StableDiffusionPipeline"):
        load(tmp_path / "model.safetensors", config=str(models("sd")))


def test_refuses_folders_of_other_kinds(tmp_path: Path, models: Models) -> None:
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    with pytest.raises(LoadFailed, match=r"has no model_index\.json: name a folder in diffusers' layout"):
        load(tmp_path)
    with pytest.raises(LoadFailed, match=r"has no model_index\.json: name a folder"):
        load(models("sd_file") / "model.ckpt", config=str(tmp_path))
    unet = UNet2DModel(sample_size=8, block_out_channels=(8,), norm_num_groups=4,
                       down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))  # fmt: skip
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path)
    with pytest.raises(LoadFailed, match="is a DDPMPipeline, which does neither text-to-image"):
        load(tmp_path)


# A part of a model ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def denoiser(models: Models) -> dict[str, Any]:
    """The weights of the family `flux`'s transformer."""
    from safetensors.torch import load_file

    weights: dict[str, Any] = load_file(models("flux") / "transformer" / "diffusion_pytorch_model.safetensors")
    return weights


def test_denoiser_file_draws_with_the_rest_from_config(
    tmp_path: Path, models: Models, denoiser: dict[str, Any], expected: dict[str, Any]
) -> None:
    from safetensors.torch import save_file

    save_file(denoiser, tmp_path / "flux.safetensors")

    assert np.array_equal(image(load(tmp_path / "flux.safetensors", config=str(models("flux")))), expected["flux"])


def test_denoiser_file_without_config_suggests_a_model(tmp_path: Path, models: Models, served: hub.Hub) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(models("sd_file") / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k.startswith("model.")}, tmp_path / "unet.safetensors")

    with pytest.raises(LoadFailed, match=f"only a part of a StableDiffusionPipeline.*such as {SD_1}"):
        load(tmp_path / "unet.safetensors")


def test_gguf_file_draws_nearly_the_same(
    tmp_path: Path, models: Models, denoiser: dict[str, Any], expected: dict[str, Any]
) -> None:
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    eight = GGMLQuantizationType.Q8_0
    writer = GGUFWriter(str(tmp_path / "flux.gguf"), "flux")
    for name, weight in denoiser.items():
        if weight.ndim == 2 and weight.shape[1] % 32 == 0:
            writer.add_tensor(name, quants.quantize(weight.numpy(), eight), raw_dtype=eight)
        else:
            writer.add_tensor(name, weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    engine = load(tmp_path / "flux.gguf", config=str(models("flux")))

    kinds = {type(weight).__name__ for weight in engine.pipelines.text_to_image.pipe.transformer.parameters()}
    assert "GGUFParameter" in kinds
    assert 0 < np.abs(image(engine) - expected["flux"]).mean() < 1  # of 255


# Quantised weights ------------------------------------------------------------------------------------------------


def bytes_of(engine: Any, part: str) -> int:
    model = getattr(engine.pipelines.text_to_image.pipe, part)
    return sum(getattr(weight, "qdata", weight).nbytes for weight in model.parameters())


def test_8bit_is_smaller_and_draws_nearly_the_same(tmp_path: Path, models: Models, expected: dict[str, Any]) -> None:
    plain, quantised = load(models("flux")), load(models("flux"), quantization="8bit")

    for part in ("transformer", "text_encoder", "text_encoder_2"):
        assert bytes_of(quantised, part) < 0.75 * bytes_of(plain, part)
    drawn = image(quantised)
    assert 0 < np.abs(drawn - expected["flux"]).mean() < 1  # of 255

    quantised.pipelines.text_to_image.pipe.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "transformer" / "config.json").read_text())
    assert saved["quantization_config"]["quant_method"] == "torchao"
    assert np.array_equal(image(load(tmp_path)), drawn), "a folder with quantised parts needs no option"


def test_quantises_a_single_file_to_8bit(models: Models, expected: dict[str, Any]) -> None:
    file, config = models("sd_file") / "model.safetensors", str(models("sd"))

    engine = load(file, config=config, quantization="8bit")

    assert np.array_equal(image(engine), image(load(config, quantization="8bit")))
    assert 0 < np.abs(image(engine) - expected["sd"]).mean() < 1  # of 255
    with pytest.raises(LoadFailed, match="not for a single file"):
        load(file, config=config, quantization="4bit")


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_refuses_4bit_outside_cuda(models: Models, device: str) -> None:
    spec = ModelSpec(
        id="x", engine="diffusers_image", source=str(models("sd")), options={"quantization": "4bit", "threads": 1}
    )
    with pytest.raises(LoadFailed, match=f"4bit` works for image models on CUDA, not on {device}"):
        find_engine("diffusers_image")().load(spec, Device(device, "float32"))


@pytest.mark.parametrize(("bits", "flag"), [("4bit", "load_in_4bit"), ("8bit", "load_in_8bit")])
@pytest.mark.parametrize("library", ["diffusers", "transformers"])
def test_cuda_quantises_with_bitsandbytes(bits: Any, flag: str, library: str) -> None:
    config = part_config(Device("cuda", "bfloat16"), bits, library)

    assert type(config).__module__.startswith(f"{library}.")
    assert config.to_dict()[flag] is True


def test_entries_in_docs_images_are_valid() -> None:
    page = (Path(__file__).parents[3] / "docs" / "images.md").read_text()
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", page)
    entries = [ModelSpec.model_validate(entry) for block in blocks for entry in yaml.safe_load(block)]

    assert len(entries) >= 4
    assert {entry.id: describe.entry(entry)["error"] for entry in entries} == {entry.id: None for entry in entries}
