"""Text Embeddings Inference: `/embed`, `/rerank` and `/info`, and at `/` what its clients send to the bare address.

Source: the OpenAPI document of huggingface/text-embeddings-inference.
"""

from __future__ import annotations

from typing import Any

from contract.tasks.embeddings import EMBEDDINGS
from contract.tasks.rerank import RERANK
from gateway.dialects.dialect import ApiDialect, ControlRoute, DialectRoute
from gateway.dialects.text_embeddings_inference.embedding import (
    EmbedTextsOfTeiRequest,
    Vectors,
    to_embeddings,
    to_vectors,
)
from gateway.dialects.text_embeddings_inference.errors import TEI_ERRORS
from gateway.dialects.text_embeddings_inference.info import InfoResponse, from_status
from gateway.dialects.text_embeddings_inference.ranking import RankTextsRequest, TextRanks, from_ranks, to_ranks

_INFO: dict[str, Any] = {
    "model_id": "sentence-transformers/all-MiniLM-L6-v2", "model_type": {"embedding": {}}, "max_input_length": 256,
    "max_client_batch_size": 2048, "version": "0.1.0",
}  # fmt: skip


def _embed(path: str, summary: str) -> DialectRoute:
    return DialectRoute(
        path, summary, EmbedTextsOfTeiRequest, Vectors, to_embeddings, to_vectors, (EMBEDDINGS,),
        {"inputs": ["A cat sleeps.", "A kitten naps."]}, [[0.1, 0.2], [0.1, 0.3]], {"input": "inputs"},
    )  # fmt: skip


def _rerank(path: str) -> DialectRoute:
    return DialectRoute(
        path, "Rank texts", RankTextsRequest, TextRanks, to_ranks, from_ranks, (RERANK,),
        {"query": "Where do cats sleep?", "texts": ["The stock market fell today.", "A cat sleeps on the sofa."]},
        [{"index": 1, "score": 0.98}, {"index": 0, "score": 0.01}], {"documents": "texts"}, selector="texts",
    )  # fmt: skip


TEXT_EMBEDDINGS_INFERENCE = ApiDialect(
    name="text-embeddings-inference",
    title="Text Embeddings Inference",
    description="Embeddings and ranking of texts, also at the bare address, for Hugging Face's clients.",
    routes=(
        _embed("/embed", "Embed texts"), _rerank("/rerank"), _embed("/", "Embed or rank texts"), _rerank("/"),
    ),
    controls=(
        ControlRoute(
            "GET", "/info", "The default model for embeddings or ranking", InfoResponse,
            lambda *_: (), from_status, _INFO,
        ),
    ),
    errors=TEI_ERRORS,
)  # fmt: skip
