"""Text Embeddings Inference's `/rerank`, whose documents are `texts`; with `documents` it is the task's own form.

Source: the OpenAPI document of huggingface/text-embeddings-inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import ConfigDict, Field, RootModel

from contract.known_fields import FieldTable, ignored
from contract.lazy_model import LazyModel
from contract.limits import Items, Name, Text
from contract.omittable import Omittable
from contract.tasks.rerank import RERANK, RerankRequest, RerankResponse
from gateway.dialects.dialect import ApiDialect, DialectRequest, DialectRoute, TaskAnswer, TaskQuery
from gateway.forwarding.model_table import ModelTable


class RankTextsRequest(DialectRequest):
    """Texts to rank by a query. `raw_scores` asks for logits, `return_text` for the texts in the answer."""

    known_fields: ClassVar[FieldTable] = ignored("TEI", "truncation_direction", also=("right", "Right"))

    model: Name | None = None
    query: Text = Field(min_length=1)
    texts: Items[Text] = Field(min_length=1)
    raw_scores: bool | None = None
    return_text: bool = False
    truncate: bool | None = None


class TextRank(LazyModel):
    """A text by its place in the request."""

    index: int
    score: float
    text: Omittable[str] = None


class TextRanks(RootModel[list[TextRank]]):
    """The most relevant texts first."""

    model_config = ConfigDict(defer_build=True)


def _to_task(request: RerankRequest, _: ModelTable) -> Sequence[TaskQuery]:
    return [TaskQuery(RERANK, request)]


def _from_task(_: RerankRequest, answers: Sequence[TaskAnswer]) -> RerankResponse:
    response: RerankResponse = answers[0].response
    return response


def _to_ranks(request: RankTextsRequest, _: ModelTable) -> Sequence[TaskQuery]:
    fields = request.model_dump(include={"model", "query", "raw_scores", "truncate"}, exclude_none=True)
    return [TaskQuery(RERANK, RerankRequest(documents=request.texts, return_documents=False, **fields))]


def _from_ranks(request: RankTextsRequest, answers: Sequence[TaskAnswer]) -> TextRanks:
    texts = request.texts if request.return_text else None
    return TextRanks(
        [
            TextRank(index=result.index, score=result.relevance_score, text=texts[result.index] if texts else None)
            for result in answers[0].response.results
        ]
    )


TEXT_EMBEDDINGS_INFERENCE = ApiDialect(
    name="text-embeddings-inference",
    title="Text Embeddings Inference",
    description="Ranking of texts, at a path that Jina's and Cohere's clients use too.",
    routes=(
        DialectRoute(
            "/rerank", "Rank documents", RerankRequest, RerankResponse, _to_task, _from_task, (RERANK,),
            RERANK.example, {"results": [{"index": 0, "relevance_score": 0.98}]},
        ),
        DialectRoute(
            "/rerank", "Rank texts", RankTextsRequest, TextRanks, _to_ranks, _from_ranks, (RERANK,),
            {"query": "Where do cats sleep?", "texts": ["The stock market fell today.", "A cat sleeps on the sofa."]},
            [{"index": 1, "score": 0.98}, {"index": 0, "score": 0.01}], {"documents": "texts"}, selector="texts",
        ),
    ),
)  # fmt: skip
