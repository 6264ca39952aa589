"""Workers that crash, hang, run out of memory or never start: each fault is reported and affects nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2

from scripts.testbed.server import PATIENCE, RunningServer, disconnecting_client, eventually, fake_model, in_background


def test_crash_mid_stream_ends_stream_with_error(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with RunningServer(tmp_path / "server", [fake_model(crash_mid_answer=True, crash_gate=str(gate))]) as server:
        body = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "stream": True}
        lines = []
        with httpx2.stream("POST", f"{server.url}/v1/chat/completions", json=body, trust_env=False) as response:
            assert response.status_code == 200
            for line in response.iter_lines():
                gate.touch()
                lines += [line] if line.startswith("data: ") else []
        assert json.loads(lines[-1][6:])["error"]["code"] == "worker_died"
        assert "data: [DONE]" not in lines


def test_request_that_kills_workers_is_given_up_after_three(tmp_path: Path) -> None:
    with RunningServer(tmp_path, [fake_model(crash_on_prompt="poison")]) as server:
        answer = server.chat("m", "poison")
        assert answer.status_code == 500
        error = answer.json()["error"]
        assert error["code"] == "request_killed_workers"
        assert server.chat("m", "fine").json()["choices"][0]["message"]["content"] == "fine"
        failure = next(m for m in server.status()["models"] if m["id"] == "m")["failure"]
        assert failure["exit_code"] == -9
        assert [worker["worker"] for worker in server.workers()] == ["m#4"]


def test_failed_load_is_reported_and_backs_off(tmp_path: Path) -> None:
    with RunningServer(tmp_path, [fake_model(fail_at_load="The weights are nowhere.")]) as server:
        first = server.chat("m")
        assert first.status_code == 503
        assert "The weights are nowhere." in first.json()["error"]["message"]
        assert int(first.headers["retry-after"]) >= 1
        again = server.chat("m")
        assert again.status_code == 503
        assert again.json()["error"]["code"] == "model_load_failed"
        (model,) = server.status()["models"]
        assert model["failure"]["exit_code"] == 3
        assert "The weights are nowhere." in model["failure"]["log_tail"]


def test_crash_at_load_shows_exit_code_and_log(tmp_path: Path) -> None:
    with RunningServer(tmp_path, [fake_model(crash_at_load=7)]) as server:
        error = server.chat("m").json()["error"]
        assert error["details"]["exit_code"] == 7
        assert "crashing at load, as configured" in error["details"]["log_tail"]


def test_start_times_out_on_silence_not_on_duration(tmp_path: Path) -> None:
    models = [
        fake_model("mute", silent_load=True, start_silence=2),
        fake_model("chatty", load_seconds=5, talk_while_loading=True, start_silence=2),
    ]
    with RunningServer(tmp_path, models) as server:
        chatty = in_background(server.chat, "chatty")
        mute = server.chat("mute")
        assert mute.status_code == 503
        assert "silent for 2 s" in mute.json()["error"]["message"]
        assert chatty.result(PATIENCE).status_code == 200


def test_out_of_memory_at_load_is_retried_once(tmp_path: Path) -> None:
    with RunningServer(tmp_path, [fake_model(oom_at_load=True, memory_gb=0.1)]) as server:
        before = server.status()["models"][0]["footprint_bytes"]
        answer = server.chat("m")
        assert answer.status_code == 503
        assert server.status()["models"][0]["footprint_bytes"] > before
        assert "m#2" in server.log("manager")
        assert "m#3" not in server.log("manager")


def test_out_of_memory_in_a_call_restarts_the_worker(tmp_path: Path) -> None:
    with RunningServer(tmp_path, [fake_model(oom_on_prompt="huge")]) as server:
        server.chat("m", "fine")
        answer = server.chat("m", "huge")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "out_of_memory"
        assert server.chat("m", "fine").status_code == 200
        assert [worker["worker"] for worker in server.workers()] == ["m#2"]


def test_model_that_never_fits_is_refused_with_numbers(tmp_path: Path) -> None:
    with RunningServer(tmp_path, [fake_model(memory_mb=300)], memory={"safety_margin_gb": 0}) as server:
        server.chat("m")
        eventually("its footprint is learned", lambda: server.status()["models"][0]["footprint_learned"])
        server.post("/v1/system/evict/m")
        server.write_config([fake_model(memory_mb=300)], memory={"safety_margin_gb": 0, "max_ram_gb": 0.1})
        assert server.post("/v1/system/reload").status_code == 200
        answer = server.chat("m")
        assert answer.status_code == 503
        assert answer.headers["x-should-retry"] == "false"
        assert "retry-after" not in answer.headers
        assert answer.json()["error"]["details"]["needs_bytes"] > 300 * 2**20


def test_stop_kills_worker_that_ignores_sigterm(tmp_path: Path) -> None:
    with RunningServer(tmp_path, [fake_model(ignore_term=True, stop_grace=0.5, fork_grandchild="child")]) as server:
        server.chat("m")
        assert server.post("/v1/system/evict/m").json()["evicted"] == ["m#1"]
        assert server.descendants() == []


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
    """The worker holds more than a later limit allows, but loading it takes less."""
    with RunningServer(tmp_path, [fake_model(leak_mb_per_call=300)], memory={"safety_margin_gb": 0}) as server:
        server.chat("m")
        eventually("its peak is learned", lambda: server.status()["models"][0]["footprint_bytes"] > 300 * 2**20)
        server.post("/v1/system/evict/m")
        server.write_config([fake_model(leak_mb_per_call=300)], memory={"safety_margin_gb": 0, "max_ram_gb": 0.2})
        assert server.post("/v1/system/reload").status_code == 200
        assert server.chat("m").status_code == 200
