"""The fake model's scores of documents: how many of the query's words they contain."""

from __future__ import annotations

from contract.tasks.rerank import RerankRequest, RerankResponse, RerankUsage, cohere_meta, ranked
from workers.engines.fake.words import count, words_of


def word_scores(request: RerankRequest, model: str, batch: int) -> RerankResponse:
    """The answer to a request; `batch` is how many requests were answered together."""
    query, texts = set(words_of(request.query.lower())), request.texts
    scores = [len(query & set(words_of(text.lower()))) / max(1, len(query)) for text in texts]
    tokens = sum(count(text) for text in [request.query, *texts])
    return RerankResponse(
        id=f"rerank-{model}",
        model=model,
        results=ranked(request, scores),
        usage=RerankUsage(prompt_tokens=tokens, total_tokens=tokens),
        meta=cohere_meta(),
        batch=batch,
    )
