"""What an engine counts reaches the manager: at most once a second, and the rest at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.worker_process import Worker
from workers.step_meter import StepMeter

PATH = "/v1/chat/completions"


def test_counts_are_taken_once() -> None:
    meter = StepMeter()
    assert meter.take() == {}
    for rows in (1, 3, 3):
        meter.step(rows)
    meter.read(10, 5)
    meter.see(2)
    meter.hold({"prefix_cache": 7})
    assert meter.take() == {
        "steps": {"1": 1, "3": 2},
        "tokens": {"read": 10, "reused": 5},
        "images": 2,
        "held": {"prefix_cache": 7},
    }
    assert meter.take() == {}
    meter.hold({"prefix_cache": 7})
    assert meter.take() == {}, "nothing has changed"
    meter.step(1)
    assert meter.take()["held"] == {"prefix_cache": 7}


def test_no_count_is_lost_at_shutdown(models: Callable[[str], Path]) -> None:
    worker = Worker()
    try:
        entry = {"engine": "transformers_chat", "source": str(models("lm")), "options": {"threads": 1}}
        worker.assign(entry)
        ready = worker.wait_for("ready")
        assert ready["joins"] == "yes"
        assert "joins: yes" in worker.log()
        written = 0
        for limit in (5, 9):
            body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": limit, "temperature": 0}
            written += worker.post(PATH, body).json()["usage"]["completion_tokens"] - 1  # the first is the prompt's
        worker.post("/shutdown", {})
        assert counts(worker)["1"] == written
    finally:
        worker.close()


def counts(worker: Worker) -> Counter[str]:
    """Steps by their rows, of all its reports until it has ended."""
    total: Counter[str] = Counter()
    while (report := worker.events.get(timeout=60)) is not None:
        steps: dict[str, Any] = report.get("steps", {})
        total.update(steps)
    return total
