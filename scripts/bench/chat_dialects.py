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
with and without `store`; storing one waits for SQLite. Streams have 200 words, an event for each.
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
_WORDS = 200
_LONG = "word " * _WORDS
_STREAMS: dict[str, dict[str, Any]] = {
    _OWN: {"messages": [{"role": "user", "content": _LONG}]},
    "/v1/completions": {"prompt": _LONG, "max_tokens": -1},
    "/v1/messages": {"messages": [{"role": "user", "content": _LONG}], "max_tokens": 1000},
    "/api/chat": {"messages": [{"role": "user", "content": _LONG}]},
    "/v1/responses": {"input": _LONG, "store": False},
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
        streams = {name: partial(_stream, client, name, body) for name, body in _STREAMS.items()}
        streamed = in_turns(setup.rounds(40), streams)
    medians = {name: statistics.median(seconds) * 1e3 for name, seconds in times.items()}
    added = {name: median - medians[_OWN] for name, median in medians.items()}
    goals = [
        Goal(f"{name}, more time than {_OWN}", 1, added[name], " ms") for name in _BODIES if name not in _WITHOUT_GOAL
    ]
    rows = [(name, f"{medians[name]:.2f} ms", f"{added[name]:+.2f} ms") for name in _BODIES]
    events = {name: statistics.median(seconds) / _WORDS * 1e3 for name, seconds in streamed.items()}
    rows += [
        (f"{name}, each event of a stream", f"{event:.3f} ms", f"{event - events[_OWN]:+.3f} ms")
        for name, event in events.items()
    ]
    return Result("Dialects of chat", _TEXT, goals, ("path", "time", "more than chat completions"), rows)


def _request(client: httpx2.Client, name: str, body: dict[str, Any]) -> float:
    started = time.perf_counter()
    client.post(name.partition(",")[0], json={"model": "echo", **body}).raise_for_status()
    return time.perf_counter() - started


def _stream(client: httpx2.Client, name: str, body: dict[str, Any]) -> float:
    started = time.perf_counter()
    with client.stream("POST", name, json={"model": "echo", "stream": True, **body}) as answer:
        size = sum(map(len, answer.iter_raw()))
    assert answer.status_code == 200
    assert size > _WORDS * 10
    return time.perf_counter() - started
