"""Reranking: scores equal the library's alone and batched, and long documents are not cut without notice."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ContextTooLong, LoadFailed
from contract.tasks.rerank import RerankResponse
from tests.conftest import Models
from tests.support.rerank_engines import DOCUMENTS, QUERY, ask, check_neighbours, close, load, rerank, scores


@pytest.fixture(scope="module")
def bge(models: Models) -> Any:
    return load(models("bge_reranker"), batch_size=3)


def by_the_library(folder: Path, documents: list[str], **arguments: Any) -> list[float]:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu")
    values = model.predict([(QUERY, document) for document in documents], **arguments)
    return [float(value) for value in values]


# Equal to the library ------------------------------------------------------------------------------------------------


def test_scores_equal_the_librarys_alone_and_batched(bge: Any, models: Models) -> None:
    expected = by_the_library(models("bge_reranker"), DOCUMENTS)

    [together] = rerank(bge, ask(DOCUMENTS))
    alone = [scores(rerank(bge, ask([document]))[0])[0] for document in DOCUMENTS]
    shared = [scores(answer)[0] for answer in rerank(bge, *(ask([document]) for document in DOCUMENTS))]

    assert len(set(expected)) == 4
    assert close(scores(together), expected)
    assert close(alone, expected)
    assert close(shared, expected)


def test_a_score_does_not_depend_on_its_neighbours(bge: Any) -> None:
    check_neighbours(bge)


def test_raw_scores_are_the_librarys_logits(models: Models) -> None:
    """The model's own scores are logits; by default they become scores from 0 to 1, as in other APIs."""
    engine = load(models("ms_marco"))
    logits = by_the_library(models("ms_marco"), DOCUMENTS)

    raw, usual = rerank(engine, ask(DOCUMENTS, raw_scores=True), ask(DOCUMENTS))

    assert min(logits) < 0
    assert close(scores(raw), logits)
    assert close(scores(usual), [1 / (1 + math.exp(-logit)) for logit in logits])


# Requests and answers ------------------------------------------------------------------------------------------------


def test_results_are_sorted_and_have_their_documents(bge: Any) -> None:
    [answer] = rerank(bge, ask([*DOCUMENTS, {"text": "as an object", "page": 3}]))

    order = [result.relevance_score for result in answer.results]
    assert order == sorted(order, reverse=True)
    documents = {result.index: result.document for result in answer.results}
    assert documents[0] == {"text": "on the sofa"}
    assert documents[5] == {"text": "as an object", "page": 3}
    assert [result.index for result in answer.results if result.index in {0, 4}] == [0, 4]  # equal: in their order
    assert (answer.id, answer.model) == ("rerank-r", "ranker")
    assert answer.meta == {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}}


def test_top_n_and_return_documents(bge: Any) -> None:
    whole, best = rerank(bge, ask(DOCUMENTS), ask(DOCUMENTS, top_n=2, return_documents=False))

    assert [result.index for result in best.results] == [result.index for result in whole.results[:2]]
    assert "document" not in json.loads(best.model_dump_json())["results"][0]
    assert best.usage == whole.usage


def test_rank_fields_choose_what_is_scored(bge: Any) -> None:
    page = {"title": "sofa", "text": "a cat", "page": 7}
    by_title, joined = rerank(bge, ask([page], rank_fields=["title"]), ask([page], rank_fields=["title", "page"]))
    plain, lines = rerank(bge, ask(["sofa"]), ask(["sofa\n7"]))

    assert close(scores(by_title), scores(plain))
    assert close(scores(joined), scores(lines))


def test_usage_counts_the_tokens_read(bge: Any) -> None:
    [answer] = rerank(bge, ask(["ab", "abc"], query="q"))

    assert answer.usage is not None
    assert answer.usage.model_dump() == {"prompt_tokens": 7 + 8, "total_tokens": 15}  # a byte each, and four special


def test_max_tokens_per_doc_cuts_each_document(bge: Any) -> None:
    cut, whole, expected = rerank(
        bge,
        ask(["abcdefgh", "ab"], max_tokens_per_doc=3),
        ask(["abcdefgh", "ab"], max_tokens_per_doc=8),
        ask(["abc", "ab", "abcdefgh"]),
    )

    assert close(scores(cut), scores(expected)[:2])
    assert close(scores(whole), [scores(expected)[2], scores(expected)[1]])


# Long documents, errors and cancelling --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bge_reranker", "qwen3_reranker"])
def test_long_documents_are_cut_as_the_library_cuts_them(family: str, models: Models) -> None:
    limit = 64 if family == "bge_reranker" else 420
    engine = load(models(family), max_length=limit)
    exact = limit - len(QUERY) - 4
    calls = ask(["z" * 500, "short"]), ask(["short"])
    if family == "bge_reranker":
        calls = (*calls, ask(["z" * exact]))

    answers = rerank(engine, *calls)

    assert calls[0].warnings == [
        f"1 document was cut: with the query, ranker reads {limit} tokens. `truncate: false` refuses such documents."
    ]
    assert not any(call.warnings for call in calls[1:])
    if family == "bge_reranker":
        assert close(scores(answers[0])[:1], by_the_library(models(family), ["z" * 500]))
        assert close(scores(answers[2]), by_the_library(models(family), ["z" * exact]))


@pytest.mark.parametrize(("query", "document"), [(700, 600), (600, 600), (600, 700), (600, 40), (257, 258), (258, 257)])
@pytest.mark.parametrize("limit", [63, 64])
def test_long_query_is_cut_as_the_library_cuts_it(query: int, document: int, limit: int, models: Models) -> None:
    from sentence_transformers import CrossEncoder

    texts = "q" * query, "z" * document
    [answer] = rerank(load(models("bge_reranker"), max_length=limit), ask([texts[1]], query=texts[0]))
    library = CrossEncoder(str(models("bge_reranker")), device="cpu", max_length=limit)
    assert close(scores(answer), [float(library.predict([texts])[0])])


def test_what_is_far_beyond_the_limit_is_not_cut_by_the_library(bge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    preprocess = bge.model.preprocess

    def watch(pairs: list[tuple[str, str]], **arguments: Any) -> Any:
        if "processing_kwargs" not in arguments:  # those that count the tokens of a whole pair cut nothing
            seen.extend(pairs)
        return preprocess(pairs, **arguments)

    monkeypatch.setattr(bge.model, "preprocess", watch)
    rerank(bge, ask(["z" * 100_000], query="q" * 100_001))
    [(query, document)] = seen
    assert len(query) == 5 * bge.max_tokens
    assert len(document) == 4 * bge.max_tokens


@pytest.mark.parametrize("option", [True, False])
def test_request_decides_whether_a_long_document_is_cut(option: bool, models: Models) -> None:
    engine = load(models("bge_reranker"), truncate=option)
    good, cut, refused = ask(["short"]), ask(["z" * 99], truncate=True), ask(["short", "z" * 99], truncate=False)

    answers = dict(engine.rerank([refused, good, cut]))

    assert isinstance(answers[good], RerankResponse)
    assert isinstance(answers[cut], RerankResponse)
    assert isinstance(answers[refused], ContextTooLong)
    assert answers[refused].details == {"index": 1, "tokens": 99 + len(QUERY) + 4, "limit": 64}


def test_cancelled_call_is_not_scored(bge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    preprocess = bge.model.preprocess

    def watch(pairs: list[tuple[str, str]], **more: Any) -> Any:
        seen.extend(pairs)
        return preprocess(pairs, **more)

    monkeypatch.setattr(bge.model, "preprocess", watch)
    gone, here = ask(["gone"] * 3), ask(["here"])
    gone.cancel()

    assert [call for call, _ in bge.rerank([gone, here])] == [here]
    assert seen == [(QUERY, "here")]


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("nli", "computes 3 values for a document"),
        ("bge", "is no reranker: its architecture is BertModel"),
        ("lm", "does not say how it reads a query with a document"),
    ],
)
def test_other_models_are_refused_at_load(family: str, reason: str, models: Models) -> None:
    with pytest.raises(LoadFailed, match=reason):
        load(models(family))
