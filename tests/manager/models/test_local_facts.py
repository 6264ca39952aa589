"""What is known of a model before its first start: from the files on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from contract.status import ModelFacts
from manager.models.local_facts import facts_of


def facts(folder: Path, config: Any, engine: str = "transformers_chat", **options: Any) -> ModelFacts:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return facts_of(ModelSpec(id="m", engine=engine, source=str(folder), options=options), {})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 2048}, ModelFacts(context_length=2048)),
        ({"max_position_embeddings": 77, "text_config": {"max_position_embeddings": 4096}},
         ModelFacts(context_length=4096)),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, ModelFacts(quantization="awq 4bit")),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
         ModelFacts(quantization="bitsandbytes 8bit")),
        ({"quantization": {"group_size": 64, "bits": 4}}, ModelFacts(quantization="4bit")),
        ({"max_position_embeddings": "many", "quantization_config": 5, "text_config": [1]}, ModelFacts()),
        ([1], ModelFacts()),
        ("{", ModelFacts()),
        ("[" * 100_000, ModelFacts()),
    ],
)  # fmt: skip
def test_reads_config_json(tmp_path: Path, config: Any, expected: ModelFacts) -> None:
    assert facts(tmp_path / "model", config) == expected


def test_options_count(tmp_path: Path) -> None:
    assert facts(tmp_path, {"max_position_embeddings": 2048}, context=512, quantization="4bit") == ModelFacts(
        context_length=512, quantization="4bit"
    )
    assert facts(tmp_path, {"max_position_embeddings": 2048}, context=9999).context_length == 2048


def test_pooling_says_the_length_of_vectors(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"word_embedding_dimension": 384}')
    assert facts(tmp_path, {}).dimensions == 384


def test_embedding_model_may_read_less_than_its_positions(tmp_path: Path) -> None:
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    assert facts(tmp_path, {"max_position_embeddings": 512}, "sentence_transformers").context_length == 256


def test_reads_a_snapshot_of_the_hub(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--a--b"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c" * 40)
    (repository / "snapshots" / ("c" * 40)).mkdir(parents=True)
    (repository / "snapshots" / ("c" * 40) / "config.json").write_text('{"max_position_embeddings": 64}')
    spec = ModelSpec(id="m", engine="transformers_chat", source="a/b")
    assert facts_of(spec, {"HF_HOME": str(tmp_path)}) == ModelFacts(context_length=64)
    assert facts_of(spec.model_copy(update={"source": "a/c"}), {"HF_HOME": str(tmp_path)}) == ModelFacts()


def test_newer_facts_replace_those_that_they_know() -> None:
    before = ModelFacts(context_length=5, quantization="4bit")
    assert before.updated(ModelFacts(context_length=4, dimensions=3)) == ModelFacts(
        context_length=4, dimensions=3, quantization="4bit"
    )
