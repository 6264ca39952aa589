"""Unmodified Python clients with tools, schemas, streams, images and embeddings, each in an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.conftest import Run
from tests.support.agent_model import ANSWER, CITY, FORECAST, PLAIN, THOUGHTS
from tests.support.client_environments import python_with
from tests.support.client_packages import PYTHON_CLIENTS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]  # the first run installs the client

DIMENSIONS = 384
"""Of a vector of MiniLM."""
MODELS = ["agent:latest", "minilm:latest", "ranker:latest", "slow:latest"]


def run(run_client: Run, name: str) -> dict[str, Any]:
    python = python_with(name, PYTHON_CLIENTS[name])
    return run_client([python, Path(__file__).parent / "python" / f"{name}.py"])


def test_langchain(run_client: Run) -> None:
    assert run(run_client, "langchain_agent") == {
        "agent": ANSWER,
        "streamed": ANSWER,
        "structured": [FORECAST] * 3,
        "by_tool": FORECAST,
        "by_format": FORECAST,
        "image": PLAIN,
        "vectors": [DIMENSIONS] * 2,
        "cities": [CITY] * 4,
    }


def test_llama_index(run_client: Run) -> None:
    assert run(run_client, "llama_index_agent") == {
        "agent": ANSWER,
        "streamed": ANSWER,
        "structured": FORECAST,
        "structured_stream": FORECAST,
        "image": PLAIN,
        "vectors": [DIMENSIONS] * 2,
        "cities": [CITY] * 2,
    }


def test_pydantic_ai(run_client: Run) -> None:
    assert run(run_client, "pydantic_ai_agent") == {
        "agent": ANSWER,
        "thoughts": [THOUGHTS],
        "streamed": ANSWER,
        "by_tool": FORECAST,
        "by_tool_after_tools": FORECAST,
        "by_tool_streamed": FORECAST,
        "by_format": FORECAST,
        "by_prompt": FORECAST,
        "image": PLAIN,
        "cities": [CITY] * 4,
    }


def test_instructor(run_client: Run) -> None:
    answers = run(run_client, "instructor_modes")
    assert len(answers) == 5
    assert all(answer == {"whole": FORECAST, "streamed": FORECAST} for answer in answers.values()), answers


def test_openai_agents(run_client: Run) -> None:
    answers = run(run_client, "openai_agents")
    assert answers.pop("cities") == [CITY] * 4
    for api in ("chat", "responses"):
        assert answers[api].pop("events") > 4
        assert answers[api] == {"agent": ANSWER, "streamed": ANSWER, "structured": FORECAST, "image": PLAIN}


def test_smolagents(run_client: Run) -> None:
    answers = run(run_client, "smolagents_agents")
    assert ANSWER in answers.pop("streamed")
    assert answers == {"agent": ANSWER, "code": "21 °C", "code_as_object": "21 °C", "cities": [CITY] * 4}


def test_haystack(run_client: Run) -> None:
    assert run(run_client, "haystack_agent") == {
        "agent": ANSWER,
        "streamed": ANSWER,
        "structured": FORECAST,
        "vectors": [DIMENSIONS],
        "cities": [CITY] * 2,
    }


def test_llm(run_client: Run) -> None:
    assert run(run_client, "llm_cli") == {
        "plain": PLAIN,
        "agent": ANSWER,
        "streamed": ANSWER,
        "structured": FORECAST,
        "image": PLAIN,
    }


def test_ollama(run_client: Run) -> None:
    round_trip = {"said": ANSWER, "thought": THOUGHTS}
    assert run(run_client, "ollama_client") == {
        "agent": round_trip,
        "streamed": round_trip,
        "structured": FORECAST,
        "image": PLAIN,
        "vectors": [DIMENSIONS] * 2,
        "models": MODELS,
        "running": True,
        "vision": True,
        "error": [404, True],
        "cities": [CITY] * 2,
    }


def test_langchains_providers(run_client: Run) -> None:
    answered = {
        "agent": ANSWER,
        "streamed": ANSWER,
        "structured": FORECAST,
        "image": PLAIN,
        "counted": True,
        "thought": THOUGHTS,
    }
    assert run(run_client, "langchain_providers") == {
        "ollama": answered,
        "anthropic": answered,
        "errors": [True, True],
        "vectors": [DIMENSIONS] * 2,
        "cities": [CITY] * 4,
    }


def test_litellm(run_client: Run) -> None:
    round_trip = {"said": ANSWER, "cities": [CITY]}
    answered = {"agent": round_trip, "streamed": round_trip, "image": PLAIN, "error": [404, True]}
    answers = run(run_client, "litellm_client")
    assert answers.pop("completion") > 0
    assert answers == {
        "openai": answered,
        "anthropic": answered,
        "ollama": answered,
        "responses": [PLAIN] * 2,
        "vectors": [DIMENSIONS] * 3,
        "ranked": [[1, 2]] * 3,
    }


def test_text_embeddings_inference(run_client: Run) -> None:
    assert run(run_client, "tei_clients") == {
        "one": DIMENSIONS,
        "query": DIMENSIONS,
        "many": [DIMENSIONS] * 2,
        "ranked": ["a cat sleeps"],
    }


def test_cohere(run_client: Run) -> None:
    assert run(run_client, "cohere_client") == {
        "old": [[1, "a cat sleeps"]],
        "new": [1, 2],
        "units": [1.0, 1.0],
        "vectors": [DIMENSIONS] * 2,
        "encoded": True,
        "refused": True,
        "missing": True,
    }
