"""Whether chat requests share a model's steps is visible from outside: in the status and in the metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scripts.testbed.server import RunningServer, eventually

OPTIONS = {"threads": 1}


def test_status_and_metrics_show_shared_steps(models: Callable[[str], Path], tmp_path: Path) -> None:
    entries = [
        {"id": "chat", "engine": "transformers_chat", "source": str(models("lm")), "options": OPTIONS},
        {"id": "echo", "engine": "fake"},
    ]
    with RunningServer(tmp_path, entries) as server:
        for model in ("chat", "echo"):
            server.chat(model, "Tell me about prefix caches", max_tokens=8).raise_for_status()
        joins = {model["id"]: model["joins"] for model in server.status()["models"]}
        assert joins == {"chat": "yes", "echo": "no, because newcomers wait for the batch before them"}
        page = eventually("the counts arrive", lambda: metrics_with(server, 'chat_step_rows_count{model="chat"}'))
        assert 'chat_joins{model="chat"} 1.0' in page
        assert 'chat_joins{model="echo"} 0.0' in page
        [worker] = server.workers("chat")
        assert worker["cache_bytes"]["prefix_cache"] > 0
        assert f'worker_cache_bytes{{cache="prefix_cache",worker="{worker["worker"]}"}}' in page


def metrics_with(server: RunningServer, name: str) -> str | None:
    """The metrics once they have a name, else None."""
    page = server.get("/metrics").text
    return page if name in page else None
