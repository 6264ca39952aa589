"""Text Embeddings Inference's `/rerank`, whose documents are `texts`.

Source: the OpenAPI document of huggingface/text-embeddings-inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import ConfigDict, Field, RootModel

from contract.known_fields import FieldTable, refused
from contract.lazy_model import LazyModel
from contract.limits import Items, Name, Text
from contract.omittable import Omittable
from contract.tasks.rerank import RERANK, RerankRequest
from gateway.dialects.dialect import DialectRequest, TaskAnswer, TaskQuery
from gateway.forwarding.model_table import ModelTable

RIGHT_ONLY: FieldTable = refused(
    "TEI", "truncation_direction", also=("right", "Right"), hint="Texts that are too long lose their end."
)
"""Lists have no place for warnings, so that what has no effect is refused."""


class RankTextsRequest(DialectRequest):
    """Texts to rank by a query. `raw_scores` asks for logits, `return_text` for the texts in the answer."""

    known_fields: ClassVar[FieldTable] = RIGHT_ONLY

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


def to_ranks(request: RankTextsRequest, _: ModelTable) -> Sequence[TaskQuery]:
    """The task's request."""
    fields = request.model_dump(include={"model", "query", "raw_scores", "truncate"}, exclude_none=True)
    return [TaskQuery(RERANK, RerankRequest(documents=request.texts, return_documents=False, **fields))]


def from_ranks(request: RankTextsRequest, answers: Sequence[TaskAnswer]) -> TextRanks:
    """The ranks, with their texts if the request asks for them."""
    texts = request.texts if request.return_text else None
    return TextRanks(
        [
            TextRank(index=result.index, score=result.relevance_score, text=texts[result.index] if texts else None)
            for result in answers[0].response.results
        ]
    )
