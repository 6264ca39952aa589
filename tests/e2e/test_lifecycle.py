"""The lifecycle of workers in a real server: started, asked, idle, evicted or killed, and always gone at the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
import pytest

from scripts.testbed.server import (
    RunningServer,
    disconnecting_client,
    events_until,
    eventually,
    fake_model,
    in_background,
    is_running,
)
from tests.support.chaos import workers as programs_below
from tests.support.external_server import external_command
from tests.support.sockets import sockets_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared server, its models' gates and their notes of started requests are."""
    folder = tmp_path_factory.mktemp("lifecycle")
    (folder / "started").mkdir()
    return folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[RunningServer]:
    """A server that several tests share, each with a model of its own."""
    never, started = str(folder / "never"), str(folder / "started")
    models = [
        fake_model("pinned", preload=True, pinned=True, idle_timeout=0.2),
        fake_model("idle", idle_timeout=0.5),
        fake_model("gated", load_gate=str(folder / "go")),
        fake_model("never", load_gate=never, max_queue=1),
        fake_model("slow", started_dir=started, step_seconds=0.05),
        fake_model("brief"),
        fake_model("impatient", load_gate=never),
        fake_model("kept", pinned=True),
        fake_model("busy", gate=str(folder / "busy"), started_dir=started),
        fake_model("twice", replicas=2, gate=str(folder / "gate"), started_dir=started),
    ]
    with RunningServer(folder / "server", models) as server:
        yield server


@pytest.fixture(scope="module")
def with_standby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that keeps a standby, with models whose workers start further processes."""
    folder = tmp_path_factory.mktemp("standby")
    external = {"cmd": f"{external_command(folder)} fork"}
    models = [
        fake_model("plain"),
        fake_model("child", fork_grandchild="child"),
        fake_model("escaped", fork_grandchild="setsid", ignore_term=True),
        {"id": "external", "engine": "command", "tasks": ["chat"], "options": external},
    ]
    with RunningServer(folder / "server", models, manager={"standby": 1}) as server:
        yield server


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose workers are those of the running test only. The last tests change its configuration."""
    folder = tmp_path_factory.mktemp("quiet")
    options = {"cmd": external_command(folder), "model_name": "its-own-name", "ready": "/up"}
    models = [
        fake_model("a"),
        fake_model("b"),
        fake_model("brief", memory_mb=200, fork_grandchild="setsid"),
        fake_model("forks", fork_grandchild="setsid"),
        {"id": "external", "engine": "command", "tasks": ["chat"], "options": options},
    ]
    with RunningServer(folder / "server", models) as server:
        yield server


def test_pinned_model_is_preloaded_and_stays(shared: RunningServer) -> None:
    server = shared
    with server.event_stream() as events:
        eventually("it is ready without a request", lambda: [w["state"] for w in server.workers("pinned")] == ["ready"])
        pid = server.workers("pinned")[0]["pid"]
        server.chat("idle")
        events_until(events, model="idle", to="stopped")  # by then the shorter idle timeout has passed as well
        assert [worker["pid"] for worker in server.workers("pinned")] == [pid]


def test_concurrent_requests_start_one_worker(shared: RunningServer, folder: Path) -> None:
    with ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(shared.chat, "gated", f"word{number}") for number in range(20)]
        eventually("all wait", lambda: shared.model("gated")["waiting"] == 20)
        (folder / "go").touch()
        texts = [future.result().json()["choices"][0]["message"]["content"] for future in answers]
    assert texts == [f"word{number}" for number in range(20)]
    assert [worker["worker"] for worker in shared.workers("gated")] == ["gated#1"]


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_disconnect_while_waiting_frees_queue_place(shared: RunningServer, size: int) -> None:
    with disconnecting_client(shared, "never", "x" * size):
        eventually("it waits", lambda: shared.model("never")["waiting"] == 1)
        assert shared.chat("never").status_code == 503
    eventually("its place is free", lambda: shared.model("never")["waiting"] == 0)


def test_disconnect_cancels_the_work(shared: RunningServer, folder: Path) -> None:
    body = {"model": "slow", "messages": [{"role": "user", "content": "word " * 5000}], "stream": True}
    with shared.stream("/v1/chat/completions", body, headers={"x-request-id": "me"}) as response:
        next(line for line in response.iter_lines() if line.startswith("data: "))  # before it, it may be loading
    eventually("the engine has noticed", (folder / "started" / "me.cancelled").exists)
    eventually("its lease has ended", lambda: [worker["leases"] for worker in shared.workers("slow")] == [0])


def test_keep_alive_zero_stops_worker_after_answer(shared: RunningServer) -> None:
    with shared.event_stream() as events:
        assert shared.chat("brief", keep_alive=0).status_code == 200
        assert [e["reason"] for e in events_until(events, model="brief", to="stopped")][-1] == "idle"


def test_unload_all_ends_pinned_models_and_waits_for_answers(shared: RunningServer, folder: Path) -> None:
    assert shared.chat("kept").status_code == 200
    body = {"model": "busy", "messages": [{"role": "user", "content": "x"}]}
    answer = in_background(shared.post, "/v1/chat/completions", body, headers={"x-request-id": "unloaded"})
    eventually("its request has begun", (folder / "started" / "unloaded").exists)
    unloading = in_background(shared.post, "/models/unload-all")
    eventually("the pinned model has ended", lambda: not shared.workers("kept"))
    assert [worker["leases"] for worker in shared.workers("busy")] == [1]
    assert not unloading.done()
    (folder / "busy").touch()
    assert answer.result().status_code == 200, answer.result().text
    assert unloading.result().json() == {"message": "All models unloaded successfully"}
    assert not shared.workers("busy")
    assert shared.model("kept")["state"] == "stopped"
    assert shared.chat("kept").status_code == 200, "it starts again when it is asked"


def test_request_may_shorten_its_maximum_wait(shared: RunningServer) -> None:
    shared.begin_loading("impatient")
    body = {"model": "impatient", "messages": [{"role": "user", "content": "x"}]}
    answer = shared.post("/v1/chat/completions", body, headers={"x-max-wait": "0.5"})
    assert answer.status_code == 504
    assert "is loading impatient" in answer.json()["error"]["message"]


def test_replicas_share_requests(shared: RunningServer, folder: Path) -> None:
    answers: list[Future[httpx2.Response]] = []

    def both_work() -> bool:
        workers = shared.workers("twice")
        if all(worker["state"] == "ready" for worker in workers):  # a request starts another, or goes to the idle one
            answers.append(threads.submit(shared.chat, "twice", "x"))
        return [worker["leases"] > 0 for worker in workers] == [True, True]

    with ThreadPoolExecutor(50) as threads:
        eventually("both replicas work", both_work)
        (folder / "gate").touch()
        assert {future.result().status_code for future in answers} == {200}


def test_standby_becomes_worker_and_is_replaced(with_standby: RunningServer) -> None:
    server = with_standby
    eventually("a standby is ready", lambda: [s for s in server.status()["standbys"] if s["born"]])
    server.chat("plain")
    (worker,) = server.workers("plain")
    assert worker["from_standby"]
    eventually("another one starts", lambda: [s for s in server.status()["standbys"] if s["pid"] != worker["pid"]])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="shows the descriptors of other processes")
def test_children_inherit_no_listening_socket_but_their_own(with_standby: RunningServer) -> None:
    """A process that has the manager's socket could accept its connections, and would keep its port taken."""
    for model in ("escaped", "external"):
        assert with_standby.chat(model).status_code == 200
    eventually("a standby runs", lambda: with_standby.status()["standbys"])
    managers_own = sockets_of(with_standby.processes["manager"].pid)
    children = programs_below(with_standby)
    assert len(children) >= 4
    assert not any(sockets_of(pid) & managers_own for pid in children)


def test_killed_manager_leaves_no_process_behind(with_standby: RunningServer) -> None:
    server = with_standby
    for model in ("child", "escaped", "external"):
        assert server.chat(model).status_code == 200
    assert len(server.descendants()) >= 6
    server.stop("manager", signal.SIGKILL)
    eventually("nothing is left", lambda: not server.descendants())
    assert server.get("/healthz").status_code == 200
    assert server.get("/ready").status_code == 503
    unreachable = server.chat("child")
    assert (unreachable.status_code, unreachable.json()["error"]["code"]) == (503, "manager_unreachable")
    server.start("manager", {"MANAGER_PORT": "0"})
    eventually("the gateway finds the new manager", lambda: server.chat("child").status_code == 200)


def test_request_starts_worker_and_idling_ends_all_of_it(quiet: RunningServer) -> None:
    server = quiet
    assert server.workers() == []
    with server.event_stream() as events:
        assert server.client.chat.completions.create(
            model="brief", messages=[{"role": "user", "content": "are you there"}]
        ).choices[0].message.content == "are you there"  # fmt: skip
        (worker,) = server.workers()
        children = psutil.Process(worker["pid"]).children(recursive=True)
        assert worker["memory_bytes"] > 200 * 2**20
        assert len(server.descendants()) == 2
        assert server.chat("brief", keep_alive=0.5).status_code == 200
        states = [(e["from"], e["to"]) for e in events_until(events, to="stopped") if e["type"] == "state"]
    assert states == [
        ("stopped", "starting"), ("starting", "ready"), ("ready", "stopping"), ("stopping", "stopped"),
    ]  # fmt: skip
    assert server.workers() == []
    assert server.descendants() == [], "the grandchild that left its process group is gone too"
    assert not any(is_running(process) for process in children)


def test_external_server_serves_as_worker(quiet: RunningServer) -> None:
    server = quiet
    with server.event_stream() as events:
        tools = [{"type": "function", "function": {"name": "f"}}]
        answer = server.chat("external", "hi", tools=tools).json()
        assert answer["got"]["model"] == "its-own-name"
        assert answer["got"]["tools"] == tools
        assert answer["auth"] not in {None, "Bearer none"}
        with server.client.chat.completions.with_streaming_response.create(
            model="external", messages=[{"role": "user", "content": "hi"}], stream=True
        ) as stream:
            assert stream.headers["x-accel-buffering"] == "no"
            assert [line for line in stream.iter_lines() if line][-1] == "data: [DONE]"
        last = {"model": "external", "prompt": "x", "keep_alive": 0.5}
        completion = server.post("/v1/completions", last).json()
        assert completion["path"] == "/v1/completions"
        events_until(events, to="stopped")
        assert server.descendants() == []


def test_two_servers_run_side_by_side(tmp_path: Path, quiet: RunningServer) -> None:
    second = quiet
    with RunningServer(tmp_path, [fake_model("a")]) as first:
        assert first.chat("a").status_code == 200
        assert second.chat("b").status_code == 200
        first.stop("manager", signal.SIGKILL)
        eventually("the first has no workers", lambda: not first.descendants())
        assert second.chat("b").status_code == 200
        assert [worker["worker"] for worker in second.workers()] == ["b#1"]


def test_new_manager_ends_orphans_of_a_killed_one(quiet: RunningServer) -> None:
    server = quiet
    server.chat("forks")
    (worker,) = server.workers("forks")
    os.kill(worker["pid"], signal.SIGSTOP)  # it cannot notice that its manager has ended
    server.stop("manager", signal.SIGKILL)
    assert psutil.pid_exists(worker["pid"])
    server.start("manager")
    assert server.descendants() == []
    assert "ended what an earlier manager had left behind" in server.log("manager")


def test_reload_by_signal_restarts_changed_models_only(quiet: RunningServer) -> None:
    server = quiet
    for model in "ab":  # the gateway may not have found the manager yet that the test before started
        eventually(f"{model} answers", lambda model=model: server.chat(model).status_code == 200)
    server.write_config([fake_model("a"), fake_model("b", idle_timeout=77), fake_model("c")])
    server.processes["manager"].send_signal(signal.SIGHUP)
    eventually("c answers", lambda: server.chat("c").status_code == 200)
    assert "a#1" in [worker["worker"] for worker in server.workers()]
    eventually("b ends", lambda: "b#1" not in [worker["worker"] for worker in server.workers()])


def test_reload_refuses_wrong_configuration(quiet: RunningServer) -> None:
    server = quiet
    server.write_config([{"id": "a", "engine": "fake", "idle_timout": 5}])
    answer = server.post("/v1/system/reload")
    assert answer.status_code == 400
    assert "did you mean `idle_timeout`" in answer.json()["error"]["message"]
    server.write_config([fake_model("a", ansver_seconds=5)])
    answer = server.post("/v1/system/reload")
    assert "answer_seconds" in answer.json()["error"]["message"]
    assert server.chat("a").status_code == 200


def test_second_manager_on_same_state_folder_is_refused(quiet: RunningServer) -> None:
    server = quiet
    server.write_config([fake_model("a")])
    first = server.processes["manager"]
    with pytest.raises(AssertionError, match="another manager"):
        server.start("manager")
    server.processes["manager"] = first
    assert server.chat("a").status_code == 200
