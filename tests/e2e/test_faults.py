"""Workers that crash, hang, run out of memory or never start: each is told, contained and gone."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2

from scripts.testbed.server import PATIENCE, House, asking, eventually, fake, later


def test_a_crash_mid_stream_ends_with_an_error_and_no_done(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with House(tmp_path / "house", [fake(crash_mid_answer=True, crash_gate=str(gate))]) as house:
        body = {"model": "m", "messages": [{"role": "user", "content": "one two three"}], "stream": True}
        lines = []
        with httpx2.stream("POST", f"{house.url}/v1/chat/completions", json=body, trust_env=False) as response:
            assert response.status_code == 200
            for line in response.iter_lines():
                gate.touch()
                lines += [line] if line.startswith("data: ") else []
        assert json.loads(lines[-1][6:])["error"]["code"] == "worker_died"
        assert "data: [DONE]" not in lines


def test_a_request_that_kills_its_worker_is_given_up_after_three_and_others_survive(tmp_path: Path) -> None:
    with House(tmp_path, [fake(crash_on_prompt="poison")]) as house:
        answer = house.chat("m", "poison")
        assert answer.status_code == 500
        error = answer.json()["error"]
        assert error["code"] == "request_killed_workers"
        assert house.chat("m", "fine").json()["choices"][0]["message"]["content"] == "fine"
        failure = next(m for m in house.status()["models"] if m["id"] == "m")["failure"]
        assert failure["exit_code"] == -9
        assert [worker["worker"] for worker in house.workers()] == ["m#4"]


def test_a_model_that_cannot_start_says_why_at_once_and_backs_off(tmp_path: Path) -> None:
    with House(tmp_path, [fake(fail_at_load="The weights are nowhere.")]) as house:
        first = house.chat("m")
        assert first.status_code == 503
        assert "The weights are nowhere." in first.json()["error"]["message"]
        assert int(first.headers["retry-after"]) >= 1
        again = house.chat("m")
        assert again.status_code == 503
        assert again.json()["error"]["code"] == "model_load_failed"
        (model,) = house.status()["models"]
        assert model["failure"]["exit_code"] == 3
        assert "The weights are nowhere." in model["failure"]["log_tail"]


def test_a_crash_at_load_shows_its_exit_code_and_last_lines(tmp_path: Path) -> None:
    with House(tmp_path, [fake(crash_at_load=7)]) as house:
        error = house.chat("m").json()["error"]
        assert error["details"]["exit_code"] == 7
        assert "crashing at load, as told" in error["details"]["log_tail"]


def test_a_start_is_judged_by_silence_and_not_by_its_length(tmp_path: Path) -> None:
    models = [
        fake("mute", silent_load=True, start_silence=2),
        fake("chatty", load_seconds=5, talk_while_loading=True, start_silence=2),
    ]
    with House(tmp_path, models) as house:
        chatty = later(house.chat, "chatty")
        mute = house.chat("mute")
        assert mute.status_code == 503
        assert "silent for 2 s" in mute.json()["error"]["message"]
        assert chatty.result(PATIENCE).status_code == 200


def test_out_of_memory_at_load_is_tried_once_more_and_then_told(tmp_path: Path) -> None:
    with House(tmp_path, [fake(oom_at_load=True, memory_gb=0.1)]) as house:
        before = house.status()["models"][0]["footprint_bytes"]
        answer = house.chat("m")
        assert answer.status_code == 503
        assert house.status()["models"][0]["footprint_bytes"] > before
        assert "m#2" in house.log("manager")
        assert "m#3" not in house.log("manager")


def test_out_of_memory_in_a_call_is_a_503_and_restarts_the_worker(tmp_path: Path) -> None:
    with House(tmp_path, [fake(oom_on_prompt="huge")]) as house:
        house.chat("m", "fine")
        answer = house.chat("m", "huge")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "out_of_memory"
        assert house.chat("m", "fine").status_code == 200
        assert [worker["worker"] for worker in house.workers()] == ["m#2"]


def test_what_never_fits_is_told_with_the_numbers(tmp_path: Path) -> None:
    with House(tmp_path, [fake(memory_mb=300)], memory={"safety_margin_gb": 0}) as house:
        house.chat("m")
        eventually("its footprint is learned", lambda: house.status()["models"][0]["footprint_learned"])
        house.post("/v1/system/evict/m")
        house.write([fake(memory_mb=300)], memory={"safety_margin_gb": 0, "max_ram_gb": 0.1})
        assert house.post("/v1/system/reload").status_code == 200
        answer = house.chat("m")
        assert answer.status_code == 503
        assert answer.headers["x-should-retry"] == "false"
        assert "retry-after" not in answer.headers
        assert answer.json()["error"]["details"]["needs_bytes"] > 300 * 2**20


def test_stopping_escalates_to_one_that_ignores_it(tmp_path: Path) -> None:
    with House(tmp_path, [fake(ignore_term=True, stop_grace=0.5, fork_grandchild="child")]) as house:
        house.chat("m")
        assert house.post("/v1/system/evict/m").json()["evicted"] == ["m#1"]
        assert house.carriers() == []


def test_a_hung_worker_makes_room_when_its_client_has_left(tmp_path: Path) -> None:
    started = tmp_path / "started"
    started.mkdir()
    models = [fake("hung", hang=True, memory_gb=3, started_dir=str(started), stop_grace=0.5), fake("next", memory_gb=3)]
    with House(tmp_path / "house", models, memory={"max_ram_gb": 4}) as house:
        with asking(house, "hung", "x"):
            eventually("it hangs", lambda: list(started.iterdir()))
        assert house.chat("next").status_code == 200
