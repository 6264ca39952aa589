"""A manager that is stopped makes no request hang, and is found again once it goes on."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.gateway_processes import (
    FakeManagerProcess,
    GatewayProcess,
    configuration,
    eventually,
    run_gateway,
    run_manager,
)

SILENCE = 6
"""Seconds; a busy machine stops the manager for less."""


@pytest.fixture
def manager() -> Iterator[FakeManagerProcess]:
    with run_manager() as manager:
        yield manager


@pytest.fixture
def gateway(manager: FakeManagerProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    settings = configuration(manager.port, gateway={"manager_silence": SILENCE})
    with run_gateway(tmp_path, settings) as gateway:
        gateway.http.timeout = 100
        gateway.wait_ready()
        yield gateway


def chat(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "x"}], **fields}


def ask(gateway: GatewayProcess, model: str) -> httpx2.Response:
    return gateway.http.post("/v1/chat/completions", json=chat(model), headers={"x-request-id": model})


def test_requests_to_a_stopped_manager_get_an_error(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    stream = chat("hangs-in-stream", stream=True)
    with ThreadPoolExecutor() as threads, gateway.http.stream("POST", "/v1/chat/completions", json=stream) as streamed:
        lines = (line for line in streamed.iter_lines() if line)
        next(lines)
        whole = threads.submit(ask, gateway, "hangs")
        eventually(lambda: manager.received("hangs"))
        manager.process.send_signal(signal.SIGSTOP)
        evicting = threads.submit(gateway.http.post, "/v1/system/evict/ok")
        adding = threads.submit(gateway.http.post, "/api/models", json={"model": "x"})
        for answer in (
            whole.result(),
            evicting.result(),
            adding.result(),
            ask(gateway, "ok"),
            gateway.http.get("/ready"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"].lower()) == (503, "manager_unreachable")
            assert "retry-after" in answer.headers
        assert f"no sign of life for {SILENCE} s" in whole.result().json()["error"]["message"]
        assert json.loads(list(lines)[-1].removeprefix("data: "))["error"]["code"] == "manager_unreachable"
    manager.process.send_signal(signal.SIGCONT)
    eventually(lambda: gateway.http.get("/ready").status_code == 200)
    assert ask(gateway, "ok").status_code == 200, "what is ready answers"
