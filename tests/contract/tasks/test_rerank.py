"""Requests to rank documents: their forms and limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.errors import InvalidField
from contract.tasks.rerank import MAX_DOCUMENTS, RERANK, RerankRequest


def decode(**fields: Any) -> RerankRequest:
    body = {"query": "q", "documents": ["a"], **fields}
    return RERANK.decode("application/json", json.dumps(body).encode())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"documents": []}, "documents"),
        ({"documents": [3]}, "documents"),
        ({"query": ""}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"documents": [""] * (MAX_DOCUMENTS + 1)}, "2049 documents are too many for one request; send at most 2048"),
    ],
)
def test_wrong_requests_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        decode(**fields)


def test_images_need_a_model_that_ranks_them() -> None:
    request = decode(documents=["a", {"image": "https://example.com/a.png"}])
    assert request.requirements() == [("documents", "images")]
    assert decode(documents=["", {"text": ""}]).requirements() == []


def test_rank_fields_need_their_text() -> None:
    assert decode(documents=[{"title": "t", "text": "x"}], rank_fields=["title"]).texts == ["t"]
    assert decode(documents=[{"text": "x"}], rank_fields=["title"]).requirements() == [("documents", "images")]


def test_fields_of_other_servers_are_known() -> None:
    assert decode(priority=1, user="me", max_chunks_per_doc=3, use_activation=True).requirements() == []
    assert decode(truncate_prompt_tokens=5).requirements() == [("truncate_prompt_tokens", "truncate_prompt_tokens")]
    assert decode(truncate=False, instruction="Find rhymes").requirements() == [("instruction", "instruction")]
