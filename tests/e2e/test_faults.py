"""Workers that crash, hang, run out of memory or never start: each fault is reported and affects nothing else."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.testbed.server import (
    PATIENCE,
    RunningServer,
    disconnecting_client,
    eventually,
    fake_model,
    in_background,
    is_running,
)

UNREADY = """
import http.server, logging, sys
logging.basicConfig(format="%(asctime)s %(message)s")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(503)
        try:
            raise RuntimeError("no model yet")
        except RuntimeError:
            logging.exception("a probe failed")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""A server that never gets ready, and logs each health probe: a line with its path, and a traceback."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared server and its models' gates are."""
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    """A server with one model for each fault, which the tests share."""
    models = [
        fake_model("crashing-mid-answer", crash_mid_answer=True, crash_gate=str(folder / "gate")),
        fake_model("poisoned", crash_on_prompt="poison"),
        fake_model("nowhere", fail_at_load="The weights are nowhere."),
        fake_model("crashing-at-load", crash_at_load=7),
        fake_model("mute", silent_load=True, start_silence=4),
        fake_model("chatty", load_gate=str(folder / "chatty"), talk_while_loading=True, start_silence=4),
        fake_model("too-large", oom_at_load=True, memory_gb=0.1),
        fake_model("out-of-memory", oom_on_prompt="huge"),
        fake_model("ignoring-sigterm", ignore_term=True, stop_grace=0.5, fork_grandchild="child"),
    ]
    unready = folder / "unready.py"
    unready.write_text(UNREADY)
    options = {"cmd": shlex.join([sys.executable, str(unready), "${PORT}"]), "ready": "/v1/models"}
    models.append({"id": "unready", "engine": "command", "tasks": ["chat"], "start_silence": 4, "options": options})
    with RunningServer(folder / "server", models) as running:
        yield running


def test_crash_mid_stream_ends_stream_with_error(server: RunningServer, folder: Path) -> None:
    messages = [{"role": "user", "content": "one two three"}]
    body = {"model": "crashing-mid-answer", "messages": messages, "stream": True}
    lines = []
    with server.stream("/v1/chat/completions", body) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            (folder / "gate").touch()
            lines += [line] if line.startswith("data: ") else []
    assert json.loads(lines[-1][6:])["error"]["code"] == "worker_died"
    assert "data: [DONE]" not in lines


def test_request_that_kills_workers_is_given_up_after_three(server: RunningServer) -> None:
    answer = server.chat("poisoned", "poison")
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["code"] == "request_killed_workers"
    assert server.chat("poisoned", "fine").json()["choices"][0]["message"]["content"] == "fine"
    assert server.model("poisoned")["failure"]["exit_code"] == -9
    eventually("only the fourth worker is left", lambda: server.worker_names("poisoned") == ["poisoned#4"])


def test_failed_load_is_reported_and_backs_off(server: RunningServer) -> None:
    first = server.chat("nowhere")
    assert first.status_code == 503
    assert "The weights are nowhere." in first.json()["error"]["message"]
    assert (first.headers["x-should-retry"], first.headers.get("retry-after")) == ("false", None)
    again = server.chat("nowhere")
    assert again.status_code == 503
    assert again.json()["error"]["code"] == "model_load_failed"
    failure = server.model("nowhere")["failure"]
    assert failure["exit_code"] == 3
    assert "The weights are nowhere." in failure["log_tail"]


def test_crash_at_load_shows_exit_code_and_log(server: RunningServer) -> None:
    error = server.chat("crashing-at-load").json()["error"]
    assert error["details"]["exit_code"] == 7
    assert "crashing at load, as configured" in error["details"]["log_tail"]


def test_start_times_out_on_silence_not_on_duration(server: RunningServer, folder: Path) -> None:
    chatty = in_background(server.chat, "chatty")
    eventually("chatty is loading", lambda: server.model("chatty")["state"] == "starting")
    mute = server.chat("mute")
    assert mute.status_code == 503
    assert "silent for 4 s" in mute.json()["error"]["message"]
    (folder / "chatty").touch()
    assert chatty.result(PATIENCE).status_code == 200


def test_log_of_health_probes_is_no_sign_of_life(server: RunningServer) -> None:
    answer = server.chat("unready")
    assert answer.status_code == 503
    assert "silent for 4 s" in answer.json()["error"]["message"]
    log_tail = server.model("unready")["failure"]["log_tail"]
    assert log_tail.count("GET /v1/models") > 1
    assert log_tail.count("no model yet") > 1


def test_out_of_memory_at_load_is_retried_once(server: RunningServer) -> None:
    before = server.model("too-large")["footprint_bytes"]
    answer = server.chat("too-large")
    assert answer.status_code == 503
    assert server.model("too-large")["footprint_bytes"] > before
    assert "too-large#2" in server.log("manager")
    assert "too-large#3" not in server.log("manager")


def test_out_of_memory_in_a_call_restarts_the_worker(server: RunningServer) -> None:
    server.chat("out-of-memory", "fine")
    answer = server.chat("out-of-memory", "huge")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "out_of_memory"
    assert server.chat("out-of-memory", "fine").status_code == 200
    eventually("only its replacement is left", lambda: server.worker_names("out-of-memory") == ["out-of-memory#2"])


def test_stop_kills_worker_that_ignores_sigterm(server: RunningServer) -> None:
    before = {process.pid for process in server.descendants()}
    server.chat("ignoring-sigterm")
    started = [process for process in server.descendants() if process.pid not in before]
    assert len(started) >= 2
    assert server.post("/v1/system/evict/ignoring-sigterm").json()["evicted"] == ["ignoring-sigterm#1"]
    assert not any(is_running(process) for process in started)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose models take much memory. The last test changes its configuration."""
    models = [
        fake_model("large", memory_mb=300),
        fake_model("leaking", leak_mb_per_call=300, fail_on_prompt="poison", preload=True),
    ]
    with RunningServer(tmp_path_factory.mktemp("measured"), models, memory={"safety_margin_gb": 0}) as running:
        yield running


def test_a_request_that_failed_teaches_nothing(measured: RunningServer) -> None:
    """Its worker holds 300 MiB more for good, as after an image that was refused once it was opened."""
    server = measured
    eventually("it is measured", lambda: server.model("leaking")["footprint_learned"])
    assert server.chat("leaking", "poison").status_code == 500
    eventually("the idle worker is measured", lambda: server.workers("leaking")[0]["memory_bytes"] > 300 * 2**20)
    [record] = json.loads((server.home / "manager" / "footprints.json").read_text())["starts"].values()
    assert record[0]["peak"] < 300 * 2**20


def test_model_that_never_fits_is_refused_with_numbers(measured: RunningServer) -> None:
    server = measured
    server.chat("large")
    eventually("its footprint is learned", lambda: server.model("large")["footprint_learned"])
    server.post("/v1/system/evict/large")
    server.write_config([fake_model("large", memory_mb=300)], memory={"safety_margin_gb": 0, "max_ram_gb": 0.1})
    assert server.post("/v1/system/reload").status_code == 200
    answer = server.chat("large")
    assert answer.status_code == 503
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    assert answer.json()["error"]["details"]["needs_bytes"] > 300 * 2**20


def test_hung_worker_is_evicted_after_its_client_left(tmp_path: Path) -> None:
    started = tmp_path / "started"
    started.mkdir()
    models = [
        fake_model("hung", hang=True, memory_gb=3, started_dir=str(started), stop_grace=0.5),
        fake_model("next", memory_gb=3),
    ]
    with RunningServer(tmp_path / "server", models, memory={"max_ram_gb": 4}) as server:
        with disconnecting_client(server, "hung", "x"):
            eventually("it hangs", lambda: list(started.iterdir()))
        assert server.chat("next").status_code == 200


def test_large_requests_peak_does_not_bar_the_model(tmp_path: Path) -> None:
    """The worker comes to hold more than the limit, but loading it takes less: after its stop, it starts again."""
    limit = {"safety_margin_gb": 0, "max_ram_gb": 0.2}
    with RunningServer(tmp_path, [fake_model(leak_mb_per_call=300)], memory=limit) as server:
        assert server.chat("m").status_code == 200
        eventually("its peak is learned", lambda: server.status()["models"][0]["footprint_bytes"] > 300 * 2**20)
        assert server.post("/v1/system/evict/m").json()["evicted"] == ["m#1"]
        assert server.chat("m").status_code == 200
        server.stop("manager")
        server.start("manager", {"MANAGER_PORT": "0"})
        eventually("the gateway finds the new manager", lambda: server.get("/ready").status_code == 200)
        assert server.chat("m").status_code == 200
