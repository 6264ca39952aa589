"""Jobs with real programs: none is lost and each ends once, whatever is killed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.testbed.http import local_client
from scripts.testbed.server import RunningServer, eventually, fake_model

JOBS = 50
KILLS = 10


def drawing(number: int) -> dict[str, Any]:
    return {"model": "painter", "prompt": f"image {number}", "seed": number, "steps": 4, "size": "16x16"}


def chat(number: int) -> dict[str, Any]:
    return {"model": "speaker", "messages": [{"role": "user", "content": f"say {number}"}]}


def submit(server: RunningServer, number: int) -> str:
    """Submit a drawing or a chat; the job's id."""
    type_, body = ("chat", chat(number)) if number % 2 else ("image-generation", drawing(number))
    answer = server.post(f"/jobs/submit/{type_}", body, headers={"idempotency-key": f"number {number}"})
    assert answer.status_code in {200, 202}, answer.text
    id_: str = answer.json()["job_id"]
    return id_


def ends(server: RunningServer) -> dict[str, str]:
    """When each completed job ended, by its id. No job may end in another way."""
    jobs = server.get("/jobs?limit=1000").json()["jobs"]
    assert {job["status"] for job in jobs} <= {"queued", "running", "completed"}, jobs
    return {job["job_id"]: job["completed_at"] for job in jobs if job["status"] == "completed"}


def more_have_ended(server: RunningServer, than: int) -> bool:
    return len(ends(server)) > min(than, JOBS - 1)


def content(kind: int, result: dict[str, Any]) -> str:
    text: str = result["choices"][0]["message"]["content"] if kind else result["data"][0]["b64_json"]
    return text


@pytest.fixture
def painter(tmp_path: Path) -> Iterator[RunningServer]:
    """A model whose load waits for the file `load`, and whose steps after the first for the file `steps`."""
    gates = {"load_gate": str(tmp_path / "load"), "step_gate": str(tmp_path / "steps")}
    with RunningServer(tmp_path, [fake_model("painter", **gates)]) as server:
        yield server


def progress(server: RunningServer, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/jobs/{id_}").json()["progress"] or {"done": 0}
    return found


def delete(server: RunningServer, id_: str) -> dict[str, Any]:
    with local_client() as client:
        job: dict[str, Any] = client.delete(f"{server.url}/jobs/{id_}").json()
    return job


def events(server: RunningServer, id_: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the fields of each event of a job, until the stream ends."""
    with local_client() as client, client.stream("GET", f"{server.url}/jobs/{id_}/events") as response:
        lines = response.iter_lines()
        for line in lines:
            if line.startswith("event: "):
                yield line[7:], json.loads(next(lines)[6:])


def test_events_show_each_change_until_the_end(painter: RunningServer) -> None:
    id_ = painter.post("/jobs/submit/image-generation", {**drawing(0), "steps": 30}).json()["job_id"]
    states, done = [], []
    for state, job in events(painter, id_):
        assert state == job["status"]
        states.append(state)
        if not (step := job["progress"]):
            continue
        done.append(step["done"])
        if "loading painter" in (step["message"] or ""):
            (painter.folder / "load").touch()
        elif step["done"] == 1:
            assert step["total"] == 30
            (painter.folder / "steps").touch()
    assert states == sorted(states, key=["queued", "running", "completed"].index)
    assert {"running", "completed"} <= set(states)
    assert done == sorted(done)
    assert 1 in done
    assert painter.get("/jobs/job_missing/events").status_code == 404


def test_cancelling_ends_the_work_at_its_next_step(painter: RunningServer) -> None:
    (painter.folder / "load").touch()
    id_ = painter.post("/jobs/submit/image-generation", {**drawing(1), "steps": 150}).json()["job_id"]
    eventually("it draws", lambda: progress(painter, id_)["done"] == 1)
    assert delete(painter, id_)["status"] == "cancelled"
    eventually("the worker is free", lambda: painter.workers("painter")[0]["leases"] == 0)
    assert not (painter.folder / "steps").exists()
    assert painter.get(f"/jobs/{id_}").json()["status"] == "cancelled"


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["gateway", "manager"])
def test_jobs_survive_ten_kills_and_end_once(tmp_path: Path, victim: str) -> None:
    entries = [fake_model("painter", step_seconds=0.2), fake_model("speaker", step_seconds=0.2)]
    with RunningServer(tmp_path, entries, jobs={"max_running": 2}) as server:
        ids = [submit(server, number) for number in range(JOBS)]
        first_seen: dict[str, str] = {}
        for kill in range(KILLS):
            eventually("another job has ended", partial(more_have_ended, server, len(first_seen)))
            first_seen |= ends(server)
            assert kill == KILLS - 1 or len(first_seen) < JOBS, "jobs must be left to be disturbed"
            server.stop(victim, signal.SIGKILL)
            server.start(victim)
            eventually("the server is ready", lambda: server.get("/ready").status_code == 200)
        eventually("all jobs have ended", lambda: len(ends(server)) == JOBS)
        assert first_seen.items() <= ends(server).items(), "a job that has ended does not end again"
        assert ids == [submit(server, number) for number in range(JOBS)], "the same keys submit nothing new"
        for number, id_ in enumerate(ids):
            result = server.get(f"/jobs/{id_}").json()["result"]
            path, body = (
                ("/v1/chat/completions", chat(number)) if number % 2 else ("/v1/images/generations", drawing(number))
            )
            assert content(number % 2, result) == content(number % 2, server.post(path, body).json())
