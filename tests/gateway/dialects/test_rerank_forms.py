"""Cohere's and Text Embeddings Inference's requests to rank become the task's, and its answers theirs."""

from __future__ import annotations

from typing import Any

from contract.status import ModelStatus
from contract.tasks.rerank import RerankRequest, RerankResponse
from gateway.dialects.cohere import COHERE
from gateway.dialects.dialect import DialectRoute, TaskAnswer
from gateway.dialects.jina import JINA
from gateway.dialects.text_embeddings_inference import TEXT_EMBEDDINGS_INFERENCE
from gateway.forwarding.model_table import ModelTable

MODEL = ModelStatus(id="ranker", engine="cross_encoder", tasks=("rerank",))
RESULTS = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.2}]
USAGE = {"prompt_tokens": 5, "total_tokens": 5}


def translated(route: DialectRoute, body: dict[str, Any], **answer: Any) -> tuple[RerankRequest, Any]:
    """The task's request for a body, and the translation of an answer to it."""
    request = route.request.model_validate(body)
    [query] = route.to_task(request, ModelTable([]))
    response = RerankResponse.model_validate({"results": RESULTS, **answer})
    return query.request, route.from_task(request, [TaskAnswer(response, MODEL)]).model_dump(mode="json")


def test_coheres_answer_has_scores_and_billed_units() -> None:
    body = {"model": "ranker", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 2, "max_tokens_per_doc": 9}
    request, answer = translated(COHERE.routes[1], body, id="rerank-1", usage=USAGE)

    assert (request.texts, request.top_n, request.max_tokens_per_doc) == (["a", "b"], 2, 9)
    assert request.return_documents is False
    assert answer == {
        "id": "rerank-1",
        "results": RESULTS,
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": 5, "output_tokens": 0},
        },
    }


def test_texts_are_answered_by_a_list() -> None:
    [of_documents], of_texts = JINA.routes, TEXT_EMBEDDINGS_INFERENCE.routes[1]
    body = {"query": "q", "texts": ["a", "b"], "raw_scores": True, "truncate": True}

    request, plain = translated(of_texts, body)
    _, with_texts = translated(of_texts, body | {"return_text": True})

    assert (of_documents.selector, of_texts.selector) == (None, "texts")
    assert (request.texts, request.raw_scores, request.truncate) == (["a", "b"], True, True)
    assert plain == [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.2}]
    assert with_texts == [{"index": 1, "score": 0.9, "text": "b"}, {"index": 0, "score": 0.2, "text": "a"}]


def test_documents_without_v1_keep_the_tasks_form() -> None:
    """External servers may add fields."""
    body = {"query": "q", "documents": ["a", "b"], "user": "me", "odd": 1}
    request, answer = translated(JINA.routes[0], body, model="m", usage=USAGE, extra=3)

    assert request.model_dump(exclude_unset=True) == body
    assert answer == {
        "object": "list", "id": None, "model": "m", "results": RESULTS, "usage": USAGE, "extra": 3,
    }  # fmt: skip
