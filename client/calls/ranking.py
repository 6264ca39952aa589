"""Reranking: documents in the order in which they answer a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from client.call import ApiCall, body_of

AnyDocument = str | dict[str, Any]
"""A text, or an object with a `text`."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """A document with its place in the list that was sent, and how relevant it is, from 0 to 1."""

    index: int
    score: float
    document: AnyDocument


def rerank(
    query: str, documents: Sequence[AnyDocument], *, model: str | None = None, top_n: int | None = None, **fields: Any
) -> ApiCall[list[Ranking]]:
    """The documents, the most relevant first; of them at most `top_n`."""
    sent = list(documents)

    def rankings(answer: dict[str, Any]) -> list[Ranking]:
        places = [(result["index"], result["relevance_score"]) for result in answer["results"]]
        return [Ranking(index, score, sent[index]) for index, score in places]

    body = body_of(model=model, query=query, documents=sent, top_n=top_n, **fields) | {"return_documents": False}
    return ApiCall("POST", "/v1/rerank", rankings, body)
