"""Stopping finishes what it promised: running requests end, all others are refused, and nothing breaks off."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scripts.testbed.server import RunningServer, eventually, fake_model, in_background
from tests.support.external_server import external_command

PAGE = "https://page.example"


def busy_server(folder: Path, shutdown_timeout: float, *others: dict[str, Any], **options: Any) -> RunningServer:
    """A server whose model m answers once `gate` exists; `started` has a file for each request that it works on."""
    (folder / "started").mkdir()
    entry = fake_model(gate=str(folder / "gate"), started_dir=str(folder / "started"), **options)
    resources = {"shutdown_timeout": shutdown_timeout}
    return RunningServer(folder / "server", [entry, *others], resources=resources, gateway={"cors_origins": [PAGE]})


def ask_from_page(server: RunningServer) -> httpx2.Response:
    """A chat request from a web page of another origin."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    return server.post("/v1/chat/completions", body, headers={"origin": PAGE})


def starts_work(folder: Path) -> None:
    eventually("it works", lambda: list((folder / "started").iterdir()))


def test_running_request_finishes_and_later_ones_are_refused(tmp_path: Path) -> None:
    with busy_server(tmp_path, 60) as server:
        running = in_background(server.chat, "m", "running")
        starts_work(tmp_path)
        programs = dict(server.processes)
        for program in programs.values():
            program.send_signal(signal.SIGTERM)
        refused = eventually("new requests are refused", lambda: refusal(server))
        assert refused.json()["error"]["code"] == "shutting_down"
        assert "retry-after" in refused.headers
        assert refused.headers["access-control-allow-origin"] == PAGE
        (tmp_path / "gate").touch()
        assert running.result().status_code == 200
        assert {name: program.wait(60) for name, program in programs.items()} == {"manager": 0, "gateway": 0}


def refusal(server: RunningServer) -> httpx2.Response | None:
    answer = server.get("/v1/models", headers={"origin": PAGE})
    return answer if answer.status_code == 503 else None


@pytest.mark.parametrize("program", ["manager", "gateway"])
def test_waiting_request_is_told_when_a_program_stops(tmp_path: Path, program: str) -> None:
    models = [fake_model(load_gate=str(tmp_path / "never"), stop_grace=0.5)]
    with RunningServer(tmp_path, models, resources={"shutdown_timeout": 3600}) as server:
        waiting = in_background(server.chat, "m")
        eventually("it waits", lambda: server.status()["waiting"])
        assert server.stop(program) == 0
        answer = waiting.result()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
        assert "retry-after" in answer.headers


@pytest.mark.parametrize("program", ["manager", "gateway"])
def test_answers_past_the_bound_end_with_an_error(tmp_path: Path, program: str) -> None:
    slow = fake_model("slow", step_seconds=5, stop_grace=0.5)
    options = {"cmd": external_command(tmp_path), "ready": "/up"}
    external = {"id": "external", "engine": "command", "tasks": ["chat"], "stop_grace": 0.5, "options": options}
    with busy_server(tmp_path, 0.5, slow, external, stop_grace=0.5) as server:
        whole = in_background(ask_from_page, server)
        starts_work(tmp_path)
        body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "many words " * 50}]}
        half = {"model": "external", "prompt": "x", "stream": True, "half": True}
        with server.stream("/v1/chat/completions", body) as stream, server.stream("/v1/completions", half) as event:
            lines = (line for line in stream.iter_lines() if line.startswith("data: "))
            next(lines)
            stopping = in_background(server.stop, program)
            last, cut_inside = list(lines)[-1], [line for line in event.iter_lines() if line]
        for line in (last, *cut_inside):
            assert json.loads(line.removeprefix("data: "))["error"]["code"] == "shutting_down"
        assert len(cut_inside) == 1, "half an event is not passed on"
        answer = whole.result()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert stopping.result() == 0
