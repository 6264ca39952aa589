"""A chat model in real worker processes: downloaded from a hub, then read from the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scripts.testbed import hub
from tests.support import worker_process
from tests.support.chat_engines import ask, drawn_image, text, with_images
from workers.registry import find_engine

PATH = "/v1/chat/completions"
CONTENT = with_images("What is this?", drawn_image())
QUESTION = {"messages": [{"role": "user", "content": CONTENT}], "temperature": 0, "max_tokens": 12}


def entry(**more: Any) -> dict[str, Any]:
    return {"engine": "transformers_chat", "source": "tests/tiny", "options": {"threads": 1}, **more}


def test_model_is_downloaded_once_then_read_from_the_cache(models: Any, chat_engine: Any, tmp_path: Path) -> None:
    """The first worker is a standby: it imports the engine, and gets its model later."""
    imports = ",".join(find_engine("transformers_chat").imports)
    with hub.serve({"tests/tiny": models("smolvlm")}) as served:
        env = {"HF_ENDPOINT": served.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        with worker_process.worker(entry(), imports=imports, env=env) as worker:
            assert "cannot import" not in worker.log()
            whole = worker.post(PATH, QUESTION).json()["choices"][0]["message"]["content"]
            events = worker.post(PATH, {**QUESTION, "stream": True}).text
        assert "GET /tests/tiny/resolve/" + hub.COMMIT + "/model.safetensors" in served.requests
        served.requests.clear()
        with worker_process.worker(entry(revision="main"), env=env) as worker:
            again = worker.post(PATH, QUESTION).json()["choices"][0]["message"]["content"]
        assert served.requests == []
    assert streamed(events) == again == whole == text(ask(chat_engine("smolvlm"), CONTENT))


def streamed(events: str) -> str:
    """The text of a stream, which must end with [DONE] and hold no usage, since the request does not ask for it."""
    *lines, done = [event.removeprefix("data: ") for event in events.strip().split("\n\n")]
    assert done == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert all(chunk["choices"] for chunk in chunks)
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
