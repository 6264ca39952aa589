"""Chat models in real worker processes: from a folder, from a hub, from the hub's cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import hub
from tests.workers import birth
from tests.workers.chatting import ask, part, picture, text
from workers.engine import find

PATH = "/v1/chat/completions"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "temperature": 0, "max_tokens": 12}


@pytest.fixture(scope="module")
def served(models: Callable[[str], Path]) -> Iterator[hub.Hub]:
    with hub.serve({"tests/tiny-lm": models("lm")}) as running:
        yield running


def entry(source: str | Path, **more: Any) -> dict[str, Any]:
    return {"engine": "transformers_chat", "source": str(source), **more}


def content(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_a_standby_answers_whole_and_streamed(models: Any, chat_engine: Any) -> None:
    """Born with the engine's imports before it knows its model, then told, then asked."""
    image = {"role": "user", "content": [part(picture()), {"type": "text", "text": "What?"}]}
    imports = ",".join(find("transformers_chat").imports)
    with birth.worker(entry(models("smolvlm")), imports=imports) as worker:
        assert "cannot import" not in worker.log()
        whole = worker.post(PATH, {**HELLO, "messages": [image]}).json()
        streamed = worker.post(PATH, {**HELLO, "messages": [image], "stream": True}).text
    events = [json.loads(line.removeprefix("data: ")) for line in streamed.split("\n\n") if "{" in line]
    pieces = [choice["delta"].get("content", "") for event in events for choice in event["choices"]]
    assert "".join(pieces) == content(whole) == text(ask(chat_engine("smolvlm"), image["content"]))
    assert streamed.rstrip().endswith("data: [DONE]")
    assert all(event["choices"] for event in events), "nobody asked for the usage"


def test_a_model_comes_from_the_hub_once_and_then_from_the_cache(served: hub.Hub, tmp_path: Path) -> None:
    env = {"HF_ENDPOINT": served.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    with birth.worker(entry("tests/tiny-lm"), env=env) as worker:
        first = worker.post(PATH, HELLO).json()
    assert any(path.endswith("model.safetensors") for path in served.requests)
    served.requests.clear()
    with birth.worker(entry("tests/tiny-lm", revision="main"), env={**env, "HF_HUB_OFFLINE": "1"}) as worker:
        second = worker.post(PATH, HELLO).json()
    assert served.requests == []
    assert content(first) == content(second) != ""
