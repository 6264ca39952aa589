"""What the translation of a chat costs: one question through other APIs' paths, and through chat completions."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any

import httpx2

from scripts.bench.measurement import Goal, Result, Setup, in_turns
from scripts.testbed.server import RunningServer, fake_model

_TEXT = """
One client asks a fake model, which repeats the question at once, and reads the whole answer. The responses are measured
with and without `store`; storing one waits for SQLite.
"""
_OWN = "/v1/chat/completions"
_QUESTION = "What does a translation cost? " * 8
_MESSAGES = [{"role": "user", "content": _QUESTION}]
_BODIES: dict[str, dict[str, Any]] = {
    _OWN: {"messages": _MESSAGES},
    "/v1/completions": {"prompt": _QUESTION, "max_tokens": -1},
    "/v1/messages": {"messages": _MESSAGES, "max_tokens": 1000},
    "/api/chat": {"messages": _MESSAGES, "stream": False},
    "/v1/responses": {"input": _QUESTION, "store": False},
    "/v1/responses, stored": {"input": _QUESTION},
}
_WITHOUT_GOAL = {_OWN, "/v1/responses, stored"}


def measure(setup: Setup) -> Result:
    """The median time of each path, in turns."""
    folder = setup.folder / "chat-dialects"
    with (
        RunningServer(folder, [fake_model("echo")]) as server,
        httpx2.Client(base_url=server.url, timeout=60, trust_env=False) as client,
    ):
        requests = {name: partial(_request, client, name, body) for name, body in _BODIES.items()}
        for request in requests.values():
            request()  # the first one starts the model
        times = in_turns(setup.rounds(300), requests)
    medians = {name: statistics.median(seconds) * 1e3 for name, seconds in times.items()}
    added = {name: median - medians[_OWN] for name, median in medians.items()}
    goals = [
        Goal(f"{name}, more time than {_OWN}", 1, added[name], " ms") for name in _BODIES if name not in _WITHOUT_GOAL
    ]
    rows = [(name, f"{medians[name]:.2f} ms", f"{added[name]:+.2f} ms") for name in _BODIES]
    return Result("Dialects of chat", _TEXT, goals, ("path", "time", "more than chat completions"), rows)


def _request(client: httpx2.Client, name: str, body: dict[str, Any]) -> float:
    started = time.perf_counter()
    client.post(name.partition(",")[0], json={"model": "echo", **body}).raise_for_status()
    return time.perf_counter() - started
