"""Processes that hang or are stopped: nothing waits for them without end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.testbed.server import (
    PATIENCE,
    RunningServer,
    disconnecting_client,
    eventually,
    fake_model,
    in_background,
)
from tests.support.external_server import external_command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hangs")
    (folder / "started").mkdir()
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    """Two large models of which one fits at a time, and small ones. One hangs and ignores every request to stop."""
    command = {"cmd": external_command(folder)}
    stubborn = {"ignore_term": True, "stop_grace": 60, "started_dir": str(folder / "started")}
    large, small = {"memory_mb": 300, "memory_gb": 0.35}, {"memory_gb": 0.05}
    models = [
        fake_model("hung", hang=True, **stubborn, **large),
        fake_model("next", **large),
        fake_model("slow", step_seconds=0.1, **stubborn, **small),
        fake_model("stopped", hang_timeout=3, **small),
        fake_model("busy", hang_on_prompt="huge", abandoned_timeout=0.1, hang_timeout=4, **small),
        {"id": "external", "engine": "command", "tasks": ["chat"], "hang_timeout": 3, "options": command, **small},
    ]
    memory = {"max_ram_gb": 0.6, "safety_margin_gb": 0}
    resources = {"swap_after": 0.1, "drain_timeout": 0.5}
    with RunningServer(folder / "server", models, memory=memory, resources=resources) as server:
        yield server


def hanging_request(server: RunningServer, folder: Path, id_: str) -> Any:
    """A request that the worker has begun to work on, in a thread."""
    body = {"model": "hung", "messages": [{"role": "user", "content": "x"}]}
    answer = in_background(server.post, "/v1/chat/completions", body, headers={"x-request-id": id_})
    eventually("it hangs", (folder / "started" / id_).exists)
    return answer


def test_forced_eviction_answers_clients_of_a_hung_worker(server: RunningServer, folder: Path) -> None:
    hanging = hanging_request(server, folder, "forced")
    with server.event_stream() as events:
        evicting = in_background(server.post, "/v1/system/evict/hung")
        assert next(e for e in events if e["to"] == "draining")["reason"] == "evicted by request"
        assert server.post("/v1/system/evict/hung?force=true").status_code == 200
    assert evicting.result(PATIENCE).status_code == 200
    answer = hanging.result(PATIENCE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "evicted")
    assert "evicted by request" in answer.json()["error"]["message"]
    assert "retry-after" in answer.headers
    assert server.descendants() == []


def test_eviction_for_another_model_has_a_bound(server: RunningServer, folder: Path) -> None:
    hanging = hanging_request(server, folder, "swapped")
    assert server.chat("next").status_code == 200
    answer = hanging.result(PATIENCE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "evicted")
    assert "evicted for next; it was still busy after 0.5 s" in answer.json()["error"]["message"]


def test_stream_of_an_evicted_worker_ends_with_an_error_event(server: RunningServer) -> None:
    body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "many words " * 500}]}
    with server.stream("/v1/chat/completions", body) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        next(lines)
        assert server.post("/v1/system/evict/slow", {"force": True}).status_code == 200
        last = list(lines)[-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "evicted"


def test_abandoned_work_is_shown_and_ends_with_its_worker(server: RunningServer) -> None:
    server.chat("busy")
    with disconnecting_client(server, "busy", "huge"):
        eventually("it works", lambda: server.workers("busy")[0]["engine"] == "working")
    assert server.chat("busy", "small").status_code == 200
    eventually("only its replacement is left", lambda: server.worker_names("busy") == ["busy#2"])
    reason = server.model("busy")["failure"]["reason"]
    assert reason == "It worked for 0.1 s on what no client waits for any more."


@pytest.mark.parametrize("model", ["stopped", "external"])
def test_requests_of_a_stopped_worker_go_to_another(server: RunningServer, model: str) -> None:
    server.chat(model)
    (worker,) = server.workers(model)
    process = psutil.Process(worker["pid"])
    for each in (process, *process.children(recursive=True)):
        each.suspend()
    assert server.chat(model).status_code == 200
    eventually("only its replacement is left", lambda: server.worker_names(model) == [f"{model}#2"])
    failure = next(entry for entry in server.status()["models"] if entry["id"] == model)["failure"]
    assert failure["reason"] == "It hung: no sign of life for 3 s."
