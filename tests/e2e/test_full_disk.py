"""A disk that is full: errors say so, nothing that was accepted is lost, and all works again once there is space."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway_processes import (
    FakeManagerProcess,
    GatewayProcess,
    configuration,
    eventually,
    run_gateway,
    run_manager,
)
from tests.support.job_requests import CHAT, ended, submit
from tests.support.small_disk import SmallDisk, small_disk

pytestmark = pytest.mark.e2e

LARGE = {**CHAT, "messages": [{"role": "user", "content": "x" * 400_000}]}
QUESTION = {"model": "ok", "input": "hello"}


@pytest.fixture
def manager() -> Iterator[FakeManagerProcess]:
    with run_manager() as process:
        yield process


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk for jobs, files and stored responses."""
    with small_disk(tmp_path / "disk", 8) as disk:
        (disk.folder / "responses").mkdir()
        (tmp_path / "gateway" / "home").mkdir(parents=True)
        (tmp_path / "gateway" / "home" / "responses").symlink_to(disk.folder / "responses")
        yield disk


def upload(gateway: GatewayProcess) -> Any:
    return gateway.http.post("/v1/files", files={"file": ("a.jsonl", b"{}\n")}, data={"purpose": "batch"})


def check_refusals(gateway: GatewayProcess) -> None:
    post = gateway.http.post
    refusals = {
        "a job": post("/jobs/submit/chat", json=CHAT),
        "a large job, whose request is a file": post("/jobs/submit/chat", json=LARGE),
        "an upload": upload(gateway),
        "a response in the background": post("/v1/responses", json={**QUESTION, "background": True}),
    }
    for what, answer in refusals.items():
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "30"), what
        assert "free disk space" in answer.json()["error"]["message"], what


def check_responses(gateway: GatewayProcess, previous: str) -> None:
    """Clients get their answers, which say that they are not stored; those from before can be continued."""
    continued = gateway.http.post("/v1/responses", json={**QUESTION, "previous_response_id": previous}).json()
    with gateway.http.stream("POST", "/v1/responses", json={**QUESTION, "model": "stream", "stream": True}) as stream:
        last = [line for line in stream.iter_lines() if line.startswith("data: ")][-1]
    streamed = json.loads(last.removeprefix("data: "))["response"]
    for response in (continued, streamed):
        assert (response["status"], response["store"]) == ("completed", False)
        assert "cannot be retrieved or continued" in response["warnings"][-1]
    assert gateway.http.get(f"/v1/responses/{previous}").json()["store"] is True


@pytest.mark.timeout(600)
def test_full_disk_loses_nothing(tmp_path: Path, disk: SmallDisk, manager: FakeManagerProcess) -> None:
    settings = configuration(manager.port, jobs={"folder": str(disk.folder / "jobs")})
    with run_gateway(tmp_path / "gateway", settings) as gateway:
        gateway.wait_ready()
        before = ended(gateway, submit(gateway))
        response = gateway.http.post("/v1/responses", json=QUESTION).json()["id"]
        running = submit(gateway, body={**CHAT, "model": "handshake"})
        eventually(lambda: manager.received(f"{running['job_id']}-1"))
        disk.fill()
        check_refusals(gateway)
        check_responses(gateway, response)
        assert gateway.http.get(f"/jobs/{before['job_id']}").json()["result"]
        assert gateway.http.post("/v1/chat/completions", json=CHAT).status_code == 200
        for _ in range(4):
            manager.control("go")  # the job that runs ends, which cannot be stored
        log = tmp_path / "gateway" / "gateway.log"
        eventually(lambda: f"{running['job_id']} runs again as soon as its end can be stored" in log.read_text())
        gateway.process.kill()
    (gateway.home / "gateway" / "address").unlink()
    with run_gateway(tmp_path / "gateway", settings) as gateway:
        check_refusals(gateway)
        disk.free()
        eventually(lambda: manager.received(f"{running['job_id']}-2"))
        for _ in range(4):
            manager.control("go")
        assert ended(gateway, running)["status"] == "completed"
        assert ended(gateway, submit(gateway, body=LARGE))["status"] == "completed"
        assert upload(gateway).status_code == 200
        again = gateway.http.post("/v1/responses", json={**QUESTION, "previous_response_id": response}).json()
        assert (again["store"], again.get("warnings")) == (True, None)
        assert {job["status"] for job in gateway.http.get("/jobs").json()["jobs"]} == {"completed"}
