"""Unmodified clients of Node with tools, objects, streams, images and embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.conftest import Run
from tests.support.agent_model import ANSWER, CITY, COMMAND, FORECAST, PLAIN, THOUGHTS
from tests.support.client_environments import NEEDS_NODE, node_folder_with_packages

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),  # the first run installs the clients
    pytest.mark.skipif(NEEDS_NODE, reason="node and npm are not on this machine; install nodejs to test its clients"),
]
FOLDER = Path(__file__).parent / "node"
DIMENSIONS = 384
"""Of a vector of MiniLM."""


def run(run_client: Run, name: str) -> dict[str, Any]:
    return run_client(["node", node_folder_with_packages(FOLDER) / f"{name}.mjs"])


def test_ai_sdk(run_client: Run) -> None:
    answers = run(run_client, "ai_sdk")
    streamed = answers.pop("streamed")
    assert streamed.pop("tokens") > 0
    assert streamed == {"text": ANSWER, "thoughts": THOUGHTS}
    assert answers == {
        "agent": ANSWER,
        "thoughts": THOUGHTS,
        "by_format": FORECAST,
        "by_mode": FORECAST,
        "streamed_object": FORECAST,
        "image": PLAIN,
        "vectors": [DIMENSIONS] * 2,
        "cities": [CITY] * 2,
    }


def test_langchain_as_n8n_uses_it(run_client: Run) -> None:
    assert run(run_client, "langchain") == {
        "agent": ANSWER,
        "streamed": ANSWER,
        "structured": [FORECAST] * 3,
        "vectors": [DIMENSIONS] * 2,
        "cities": [CITY] * 2,
    }


def test_openai_agents(run_client: Run) -> None:
    assert run(run_client, "openai_agents") == {
        "agent": ANSWER,
        "streamed": ANSWER,
        "structured": FORECAST,
        "cities": [CITY] * 2,
    }


def test_ai_sdks_own_providers(run_client: Run) -> None:
    answered = {"agent": ANSWER, "streamed": ANSWER, "counted": True, "image": PLAIN}
    assert run(run_client, "ai_sdk_providers") == {
        **dict.fromkeys(("responses", "chat", "messages"), answered),
        "objects": [FORECAST] * 2,
        "errors": [[404, True]] * 2,
        "vectors": [DIMENSIONS] * 2,
        "cities": [CITY] * 6,
    }


def test_ollama(run_client: Run) -> None:
    assert run(run_client, "ollama") == {
        "agent": ANSWER,
        "streamed": ANSWER,
        "structured": FORECAST,
        "image": PLAIN,
        "vectors": [DIMENSIONS] * 2,
        "models": ["agent:latest", "minilm:latest", "ranker:latest", "slow:latest"],
        "error": [404, True],
        "cancelled": ["AbortError", True],
        "cities": [CITY] * 2,
    }


def test_codex(run_client: Run) -> None:
    answers = run(run_client, "codex")
    for turn in (answers["command"], answers["image"]):
        assert turn["end"] == "completed"
        assert turn["said"] == [ANSWER]
        [command] = turn["commands"]
        assert COMMAND in command
