"""Chat requests and chunks."""

from __future__ import annotations

import json

import pytest

from contract.tasks.chat import CHAT, ChatChunk, ChatRequest, fold


def chat(**fields: object) -> ChatRequest:
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    return CHAT.decode("application/json", json.dumps(body).encode())


def test_keeps_unknown_fields() -> None:
    assert json.loads(chat(top_k=5).model_dump_json(exclude_unset=True))["top_k"] == 5


@pytest.mark.parametrize(
    ("fields", "features"),
    [
        ({}, set()),
        ({"tools": [], "logprobs": False, "response_format": {"type": "text"}, "tool_choice": "auto"}, set()),
        ({"tools": [{"type": "function"}]}, {"tools"}),
        ({"logprobs": True, "frequency_penalty": 0.5}, {"logprobs", "frequency_penalty"}),
        ({"messages": [{"role": "tool", "content": "x"}]}, {"tools"}),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "aGVsbG8="}}]}]},
            {"images"},
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, {"input_audio"}),
    ],
)
def test_required_features(fields: dict[str, object], features: set[str]) -> None:
    assert chat(**fields).required_features() == features


def test_fold_combines_chunks() -> None:
    pieces = [("He", None), ("llo", None), (None, "length")]
    chunks = [
        ChatChunk.model_validate(
            {"id": "1", "created": 1, "model": "m",
             "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}
        )
        for text, reason in pieces
    ]  # fmt: skip
    choice = fold(chunks).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hello", "length")
