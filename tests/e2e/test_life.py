"""The life of workers in a real house: born, asked, idle, evicted, killed, and always gone in the end."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
import pytest

from scripts.testbed.server import House, asking, eventually, fake, lives, until

SERVER = """
import http.server, json, os, sys
if len(sys.argv) > 3:
    import subprocess
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e5)"], start_new_session=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        out = json.dumps({"got": json.loads(body or b"{}"), "path": self.path, "auth": self.headers["authorization"]})
        self.send_response(200); self.send_header("content-length", str(len(out))); self.end_headers()
        self.wfile.write(out.encode())
    do_GET = do_POST = answer
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def server(tmp_path: Path) -> str:
    """A command line that starts a foreign server."""
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return f"python3 {path} ${{PORT}} ${{TOKEN}}"


def test_a_request_starts_a_worker_and_when_it_is_idle_all_of_it_goes(tmp_path: Path) -> None:
    with House(tmp_path, [fake(idle_timeout=1, memory_mb=200, fork_grandchild="setsid")]) as house:
        assert house.workers() == []
        with house.watching() as events:
            assert house.client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "are you there"}]
            ).choices[0].message.content == "are you there"  # fmt: skip
            (worker,) = house.workers()
            family = psutil.Process(worker["pid"]).children(recursive=True)
            assert worker["memory_bytes"] > 200 * 2**20
            assert len(house.carriers()) == 2
            states = [(e["from"], e["to"]) for e in until(events, to="stopped") if e["type"] == "state"]
        assert states == [
            ("stopped", "starting"), ("starting", "ready"), ("ready", "stopping"), ("stopping", "stopped"),
        ]  # fmt: skip
        assert house.workers() == []
        assert house.carriers() == [], "the grandchild that escaped is gone too"
        assert not any(lives(process) for process in family)


def test_many_requests_start_one_worker(tmp_path: Path) -> None:
    with House(tmp_path, [fake(load_gate=str(tmp_path / "go"))]) as house, ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(house.chat, "m", f"word{number}") for number in range(20)]
        eventually("all wait", lambda: house.status()["waiting"] == 20)
        (tmp_path / "go").touch()
        texts = [future.result().json()["choices"][0]["message"]["content"] for future in answers]
        assert texts == [f"word{number}" for number in range(20)]
        assert [worker["worker"] for worker in house.workers()] == ["m#1"]


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_client_that_leaves_while_it_waits_frees_its_place(tmp_path: Path, size: int) -> None:
    with House(tmp_path, [fake(load_gate=str(tmp_path / "never"), max_queue=1)]) as house:
        with asking(house, "m", "x" * size):
            eventually("it waits", lambda: house.status()["waiting"] == 1)
            assert house.chat("m").status_code == 503
        eventually("its place is free", lambda: house.status()["waiting"] == 0)


def test_a_client_that_leaves_cancels_its_work(tmp_path: Path) -> None:
    started = tmp_path / "started"
    started.mkdir()
    with House(tmp_path / "house", [fake(started_dir=str(started), step_seconds=0.05)]) as house:
        body = {"model": "m", "messages": [{"role": "user", "content": "word " * 5000}], "stream": True}
        with httpx2.stream(
            "POST", f"{house.url}/v1/chat/completions", json=body, headers={"x-request-id": "me"}, trust_env=False
        ) as response:
            next(response.iter_lines())
        eventually("the engine noticed", (started / "me.cancelled").exists)
        eventually("its lease has ended", lambda: house.status()["leases"] == 0)


def test_keep_alive_zero_ends_the_worker_with_the_answer(tmp_path: Path) -> None:
    with House(tmp_path, [fake()]) as house, house.watching() as events:
        assert house.chat("m", keep_alive=0).status_code == 200
        assert [e["reason"] for e in until(events, to="stopped")][-1] == "idle"


def test_a_standby_makes_a_start_quick_and_another_is_born(tmp_path: Path) -> None:
    with House(tmp_path, [fake()], manager={"standby": 1}) as house:
        eventually("a standby is born", lambda: [s for s in house.status()["standbys"] if s["born"]])
        house.chat("m")
        (worker,) = house.workers()
        assert worker["from_standby"]
        eventually("another is born", lambda: [s for s in house.status()["standbys"] if s["pid"] != worker["pid"]])


def test_kill_9_of_the_manager_leaves_nothing_behind(tmp_path: Path, server: str) -> None:
    models = [
        fake("child", fork_grandchild="child"),
        fake("escaped", fork_grandchild="setsid", ignore_term=True),
        {"id": "foreign", "engine": "command", "tasks": ["chat"], "options": {"cmd": f"{server} fork"}},
    ]
    with House(tmp_path / "house", models, manager={"standby": 1}) as house:
        for model in ("child", "escaped", "foreign"):
            assert house.chat(model).status_code == 200
        assert len(house.carriers()) >= 6
        house.stop("manager", signal.SIGKILL)
        eventually("nothing is left", lambda: not house.carriers())
        assert house.get("/healthz").status_code == 200
        assert house.get("/ready").status_code == 503
        unreachable = house.chat("child")
        assert (unreachable.status_code, unreachable.json()["error"]["code"]) == (503, "manager_unreachable")
        house.start("manager", {"MANAGER_PORT": "0"})
        eventually("the gateway finds the new one", lambda: house.chat("child").status_code == 200)


def test_a_new_manager_reaps_what_a_broken_machine_left(tmp_path: Path) -> None:
    with House(tmp_path, [fake(fork_grandchild="setsid")]) as house:
        house.chat("m")
        (worker,) = house.workers()
        os.kill(worker["pid"], signal.SIGSTOP)  # it cannot notice that its manager goes
        house.stop("manager", signal.SIGKILL)
        assert psutil.pid_exists(worker["pid"])
        house.start("manager")
        assert house.carriers() == []
        assert "ended what an earlier manager had left behind" in house.log("manager")


def test_two_managers_never_share_a_state_folder(tmp_path: Path) -> None:
    with House(tmp_path, [fake()]) as house:
        first = house.processes["manager"]
        with pytest.raises(AssertionError, match="another manager"):
            house.start("manager")
        house.processes["manager"] = first
        assert house.chat("m").status_code == 200


def test_two_houses_live_side_by_side(tmp_path: Path) -> None:
    with House(tmp_path / "one", [fake("a")]) as one, House(tmp_path / "two", [fake("b")]) as two:
        assert one.chat("a").status_code == 200
        assert two.chat("b").status_code == 200
        one.stop("manager", signal.SIGKILL)
        eventually("the first is empty", lambda: not one.carriers())
        assert two.chat("b").status_code == 200
        assert two.workers()[0]["worker"] == "b#1"


def test_reload_by_signal_takes_on_a_change_and_stops_nothing_else(tmp_path: Path) -> None:
    with House(tmp_path, [fake("a"), fake("b")]) as house:
        for model in "ab":
            house.chat(model)
        house.write([fake("a"), fake("b", idle_timeout=77), fake("c")])
        house.processes["manager"].send_signal(signal.SIGHUP)
        eventually("c can be asked", lambda: house.chat("c").status_code == 200)
        assert "a#1" in [worker["worker"] for worker in house.workers()]
        assert "b#1" not in [worker["worker"] for worker in house.workers()]


def test_a_wrong_configuration_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with House(tmp_path, [fake("a")]) as house:
        house.write([{"id": "a", "engine": "fake", "idle_timout": 5}])
        answer = house.post("/v1/system/reload")
        assert answer.status_code == 400
        assert "did you mean `idle_timeout`" in answer.json()["error"]["message"]
        house.write([fake("a", ansver_seconds=5)])
        answer = house.post("/v1/system/reload")
        assert "answer_seconds" in answer.json()["error"]["message"]
        assert house.chat("a").status_code == 200


def test_a_foreign_server_in_a_workers_place(tmp_path: Path, server: str) -> None:
    options = {"cmd": server, "model_name": "its-own-name", "ready": "/up"}
    entry = {"id": "foreign", "engine": "command", "tasks": ["chat"], "idle_timeout": 1, "options": options}
    with House(tmp_path / "house", [entry]) as house, house.watching() as events:
        got = house.chat("foreign", "hi", tools=[{"type": "function"}]).json()
        assert got["got"]["model"] == "its-own-name"
        assert got["got"]["tools"] == [{"type": "function"}]
        assert got["auth"] not in {None, "Bearer none"}
        other = house.post("/v1/completions", {"model": "foreign", "prompt": "x"}).json()
        assert other["path"] == "/v1/completions"
        until(events, to="stopped")
        assert house.carriers() == []


def test_a_request_may_wait_less_than_the_house_allows(tmp_path: Path) -> None:
    with House(tmp_path, [fake(load_gate=str(tmp_path / "never"))]) as house:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        answer = house.post("/v1/chat/completions", body, headers={"x-max-wait": "0.5"})
        assert answer.status_code == 504
        assert "starting" in answer.json()["error"]["message"]


def test_replicas_share_the_load(tmp_path: Path) -> None:
    started = tmp_path / "started"
    started.mkdir()
    gate = tmp_path / "gate"
    models = [fake(replicas=2, gate=str(gate), started_dir=str(started))]
    with House(tmp_path / "house", models) as house, ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(house.chat, "m", str(number)) for number in range(2)]
        eventually("both replicas are up", lambda: [w["state"] for w in house.workers()] == ["ready", "ready"])
        answers += [threads.submit(house.chat, "m", str(number)) for number in range(2, 4)]
        eventually("both work", lambda: all(worker["leases"] for worker in house.workers()))
        gate.touch()
        assert [future.result().status_code for future in answers] == [200] * 4


def test_preload_and_pinned(tmp_path: Path) -> None:
    with House(tmp_path, [fake(preload=True, pinned=True, idle_timeout=0.2)]) as house:
        eventually("it is ready unasked", lambda: [w["state"] for w in house.workers()] == ["ready"])
        pid = house.workers()[0]["pid"]
        time.sleep(0.5)  # longer than its idle timeout: the one thing here that is to not happen
        assert house.workers()[0]["pid"] == pid
