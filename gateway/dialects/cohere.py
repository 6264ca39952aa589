"""Cohere's API, version 2: ranking of documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from contract.known_fields import FieldTable, neutral
from contract.limits import Items, Name, Text
from contract.omittable import Omittable
from contract.tasks.rerank import RERANK, RerankDocument, RerankRequest
from gateway.dialects.dialect import (
    ApiDialect,
    DialectRequest,
    DialectResponse,
    DialectRoute,
    TaskAnswer,
    TaskQuery,
)
from gateway.forwarding.model_table import ModelTable


class RankRequest(DialectRequest):
    """Documents to rank by a query. `max_tokens_per_doc` cuts each of them."""

    known_fields: ClassVar[FieldTable] = neutral("Cohere", "priority")

    model: Name | None = None
    query: Text = Field(min_length=1)
    documents: Items[RerankDocument] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1)
    max_tokens_per_doc: int | None = Field(None, ge=1)


class CohereRank(BaseModel):
    """A document by its place in the request."""

    index: int
    relevance_score: float


class RankResponse(DialectResponse):
    """The most relevant documents first."""

    id: Omittable[str] = None
    results: list[CohereRank]
    meta: dict[str, Any]


def _to_rerank(request: RankRequest, _: ModelTable) -> Sequence[TaskQuery]:
    fields = request.model_dump(include={"model", "query", "top_n", "max_tokens_per_doc"}, exclude_none=True)
    return [TaskQuery(RERANK, RerankRequest(documents=request.documents, return_documents=False, **fields))]


def _from_rerank(_: RankRequest, answers: Sequence[TaskAnswer]) -> RankResponse:
    response = answers[0].response
    ranks = [CohereRank(index=result.index, relevance_score=result.relevance_score) for result in response.results]
    tokens = response.usage.total_tokens if response.usage else 0
    meta = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": tokens, "output_tokens": 0},
    }
    return RankResponse(id=response.id, results=ranks, meta=meta)


COHERE = ApiDialect(
    name="cohere",
    title="Cohere API",
    description="Ranking of documents, in version 2 of the API; version 1 is the task rerank itself.",
    routes=(
        DialectRoute(
            "/v2/rerank", "Rank documents", RankRequest, RankResponse, _to_rerank, _from_rerank, (RERANK,),
            {"model": "bge-reranker", "query": "Where do cats sleep?",
             "documents": ["The stock market fell today.", "A cat sleeps on the sofa."], "top_n": 1},
            {"id": "rerank-uuid", "results": [{"index": 1, "relevance_score": 0.98}],
             "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}},
        ),
    ),
)  # fmt: skip
