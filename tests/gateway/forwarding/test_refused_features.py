"""What a refusal of a request says that needs a feature which its model does not have."""

from __future__ import annotations

import pytest

from contract.errors import UnsupportedFeature
from contract.status import ModelStatus
from contract.tasks.embeddings import EmbeddingsRequest
from gateway.forwarding.model_table import ModelTable

MODEL = ModelStatus(id="m", engine="sentence_transformers", tasks=("embeddings",))


def test_refusal_of_token_ids_says_how_langchain_sends_texts() -> None:
    for tokens in ([1, 2], [[1, 2], [3]]):
        with pytest.raises(UnsupportedFeature, match="check_embedding_ctx_length=False") as refusal:
            ModelTable([MODEL]).check_features("embeddings", MODEL, EmbeddingsRequest(input=tokens))
        assert refusal.value.param == "input"


def test_truncation_is_refused_where_the_engine_has_none() -> None:
    with pytest.raises(UnsupportedFeature, match="`truncate`"):
        ModelTable([MODEL]).check_features("embeddings", MODEL, EmbeddingsRequest(input="Hi", truncate=True))
    ModelTable([MODEL]).check_features("embeddings", MODEL, EmbeddingsRequest(input="Hi", truncate=False))
