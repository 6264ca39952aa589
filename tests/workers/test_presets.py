"""Presets: a system message and defaults under a name of their own, which the gateway sends in a header."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import worker_process
from tests.support.worker_process import Worker

CHAT = "/v1/chat/completions"
EMBED = "/v1/embeddings"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    short = {"system": "Be short.", "defaults": {"max_tokens": 1}}
    presets = {"short": short, "küche": {"defaults": {"dimensions": 2}}}
    entry = {"engine": "fake", "defaults": {"dimensions": 4, "max_tokens": 3}, "presets": presets}
    with worker_process.worker(entry) as worker:
        yield worker


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_preset_fills_what_a_request_leaves_out(worker: Worker) -> None:
    def ask(path: str, body: dict[str, Any], preset: str) -> dict[str, Any]:
        headers = {"x-enginehouse-preset": preset.encode()}
        return dict(worker.client.post(path, json=body, headers=headers).json())

    plain = worker.post(CHAT, chat("one two three four")).json()
    preset = ask(CHAT, chat("one two three four"), "short")
    assert (plain["usage"]["completion_tokens"], preset["usage"]["completion_tokens"]) == (3, 1)
    assert preset["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"], "the system message is in front"
    assert ask(CHAT, chat("one two", max_tokens=2), "short")["usage"]["completion_tokens"] == 2
    assert len(ask(EMBED, {"input": "x"}, "küche")["data"][0]["embedding"]) == 2
    assert ask(CHAT, chat("one two three four"), "küche")["usage"] == plain["usage"], "the entry's defaults still count"


@pytest.mark.parametrize("role", ["system", "developer"])
def test_requests_own_system_message_replaces_the_presets(worker: Worker, role: str) -> None:
    body = {"messages": [{"role": role, "content": "Mine."}, {"role": "user", "content": "one two"}]}
    answers = [
        worker.client.post(CHAT, json=body, headers=headers).json()
        for headers in ({}, {"x-enginehouse-preset": "short"})
    ]
    assert answers[0]["usage"]["prompt_tokens"] == answers[1]["usage"]["prompt_tokens"]
