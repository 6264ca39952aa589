"""Jina's ranking at `/rerank`, as Cohere's first version, vLLM and LocalAI have it too: the task's own form."""

from __future__ import annotations

from collections.abc import Sequence

from contract.tasks.rerank import RERANK, RerankRequest, RerankResponse
from gateway.dialects.dialect import ApiDialect, DialectRoute, TaskAnswer, TaskQuery
from gateway.dialects.ranking_errors import RANKING_ERRORS
from gateway.forwarding.model_table import ModelTable


def _to_task(request: RerankRequest, _: ModelTable) -> Sequence[TaskQuery]:
    return [TaskQuery(RERANK, request)]


def _from_task(_: RerankRequest, answers: Sequence[TaskAnswer]) -> RerankResponse:
    response: RerankResponse = answers[0].response
    return response


JINA = ApiDialect(
    name="jina",
    title="Jina API",
    description="Ranking of documents without `/v1`, at a path that Text Embeddings Inference's clients use too.",
    routes=(
        DialectRoute(
            "/rerank", "Rank documents", RerankRequest, RerankResponse, _to_task, _from_task, (RERANK,),
            RERANK.example, {"results": [{"index": 0, "relevance_score": 0.98}]},
        ),
    ),
    errors=RANKING_ERRORS,
)  # fmt: skip
