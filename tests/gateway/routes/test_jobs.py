"""Jobs over HTTP, with a fake manager: submitted, listed, run, cancelled, and each seen by its owner only."""

from __future__ import annotations

import asyncio
import stat
import time
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from gateway.jobs.job import JobState
from gateway.jobs.payloads import LARGE
from gateway.jobs.watch import JobWatch
from gateway.routes import jobs
from tests.gateway.conftest import JWT_SECRET
from tests.support.gateway_processes import (
    FakeManagerProcess,
    GatewayProcess,
    eventually,
)
from tests.support.job_requests import CHAT, ended, submit
from tests.support.sample_images import png


def test_job_ends_with_the_answer_of_its_path(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    job = submit(gateway)
    assert (job["status"], job["model"], job["path"]) == ("queued", "ok", "/v1/chat/completions")
    done = ended(gateway, job)
    assert (done["status"], done["attempts"], done["error"]) == ("completed", 1, None)
    answer = gateway.http.post("/v1/chat/completions", json=CHAT).json()
    assert done["result"] == answer
    result = gateway.http.get(done["result_url"])
    assert (result.json(), result.headers["content-type"]) == (answer, "application/json")
    assert gateway.http.get(f"/jobs/{job['job_id']}?result=false").json()["result"] is None
    [received] = manager.received(f"{job['job_id']}-1")
    assert received["headers"]["x-enginehouse-model"] == "ok"
    assert (received["headers"]["x-enginehouse-job"], received["headers"]["x-enginehouse-deadline"]) == ("0", "inf")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("chat", "/v1/chat/completions"),
        ("v1/chat/completions", "/v1/chat/completions"),
        ("chat/completions", "/v1/chat/completions"),
    ],
)
def test_job_type_is_a_task_or_a_path(gateway: GatewayProcess, name: str, path: str) -> None:
    assert submit(gateway, name)["path"] == path


@pytest.mark.parametrize("name", ["sam3", "grounding-dino", "grounding_dino", "depth-anything", "dinov3"])
def test_names_of_the_vision_models_api_are_known(gateway: GatewayProcess, name: str) -> None:
    answer = gateway.http.post(f"/jobs/submit/{name}", json={})
    assert answer.json()["error"]["param"] == "images", answer.text


def test_dialect_runs_as_a_job(gateway: GatewayProcess) -> None:
    job = submit(gateway, "api/embed", {"texts": ["a"], "model": "ok"})
    assert ended(gateway, job)["result"]["embeddings"] == [[0.5, 0.25]]


def test_form_runs_as_it_was_sent(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    files = {"image": ("a.png", png(8, 8))}
    job = gateway.http.post("/jobs/submit/ocr", files=files).json()
    assert ended(gateway, job)["status"] == "completed"
    [received] = manager.received(f"{job['job_id']}-1")
    assert received["headers"]["content-type"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
def test_request_can_be_read_and_sent_again_after_the_end(gateway: GatewayProcess, size: int) -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": "u" * size}]}
    job = gateway.http.post("/jobs/submit/chat?a=1", json=body).json()
    done = ended(gateway, job)
    request = gateway.http.get(done["request_url"])
    assert (request.json(), len(request.content)) == (body, done["request_bytes"])
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-disposition"] == "attachment"
    path = request.headers["x-job-path"]
    assert path == "/v1/chat/completions?a=1"
    send = {"content": request.content, "headers": {"content-type": request.headers["content-type"]}}
    again = gateway.http.post(f"/jobs/submit{path}", **send).json()
    assert ended(gateway, again)["status"] == "completed"
    gateway.http.delete(f"/jobs/{job['job_id']}")
    assert gateway.http.get(done["request_url"]).status_code == 404


@pytest.mark.parametrize(
    ("type_", "body", "status", "code"),
    [
        ("chat", {"model": "ok"}, 400, "invalid_field"),
        ("chat", {**CHAT, "model": "missing"}, 404, "model_not_found"),
        ("chat", {**CHAT, "stream": True}, 400, "unsupported_feature"),
        ("chat", {**CHAT, "model": "reader"}, 400, "unsupported_task"),
        ("nothing", CHAT, 404, "not_found"),
    ],
)
def test_request_that_cannot_run_is_refused(
    gateway: GatewayProcess, type_: str, body: Any, status: int, code: str
) -> None:
    answer = gateway.http.post(f"/jobs/submit/{type_}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Job-Priority", "high"),
        ("X-Job-Priority", "101"),
        ("X-Job-Expires", "never"),
        ("X-Job-Expires", "0"),
        ("Idempotency-Key", "x" * 256),
        ("X-Job-Webhook", "http://127.0.0.1/hook"),
        ("X-Job-Webhook-Secret", "secret"),
    ],
)
def test_wrong_header_is_named(gateway: GatewayProcess, header: str, value: str) -> None:
    error = gateway.http.post("/jobs/submit/chat", json=CHAT, headers={header: value}).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_field", header)


@pytest.mark.parametrize("query", ["limit=0", "limit=many", "status=done", "before=job_missing"])
def test_wrong_query_is_refused(gateway: GatewayProcess, query: str) -> None:
    submit(gateway)
    assert gateway.http.get(f"/jobs?{query}").status_code in {400, 404}


def sample(gateway: GatewayProcess, name: str) -> float:
    [line] = [line for line in gateway.http.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def test_status_and_metrics_count_jobs(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    counted = ["job_wait_seconds_count", "job_run_seconds_count"]
    counted += [f'jobs_ended_total{{state="{state}"}}' for state in ("completed", "failed", "cancelled", "expired")]
    idle = {"queued": 0, "running": 0}
    eventually(lambda: gateway.http.get("/v1/system/status").json()["jobs"] == idle)  # earlier tests' jobs have ended
    before = [sample(gateway, name) for name in counted]
    job = submit(gateway, body={**CHAT, "model": "hangs"})
    eventually(lambda: manager.received(f"{job['job_id']}-1"))
    assert gateway.http.get("/v1/system/status").json()["jobs"] == {"queued": 0, "running": 1}
    assert (sample(gateway, "jobs_queued"), sample(gateway, "jobs_running")) == (0, 1)
    gateway.http.delete(f"/jobs/{job['job_id']}")
    ended(gateway, submit(gateway))
    ended(gateway, submit(gateway, body={**CHAT, "model": "dies-always"}))
    ended(gateway, submit(gateway, body={**CHAT, "model": "hangs"}, x_job_expires="0.001"))
    steps = [sample(gateway, name) - old for name, old in zip(counted, before, strict=True)]
    assert steps[1:] == [2, 1, 1, 1, 1]
    assert steps[0] in {3, 4}, "a job may expire before it runs"


def test_failed_job_has_the_error(gateway: GatewayProcess) -> None:
    done = ended(gateway, submit(gateway, body={**CHAT, "model": "dies-always"}))
    assert (done["status"], done["error"]["code"]) == ("failed", "request_killed_workers")
    assert done["error"]["details"]["log_tail"] == "Segmentation fault"
    result = gateway.http.get(f"/jobs/{done['job_id']}/result")
    assert (result.status_code, result.json()["error"]["details"]["status"]) == (404, "failed")


def test_busy_manager_is_asked_again(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    job = submit(gateway, body={**CHAT, "model": "refuses"})
    eventually(lambda: manager.received(f"{job['job_id']}-2"))
    gateway.http.delete(f"/jobs/{job['job_id']}")
    assert ended(gateway, job)["status"] == "cancelled"


def test_delete_cancels_then_removes(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    job = submit(gateway, body={**CHAT, "model": "hangs"})
    url, run = f"/jobs/{job['job_id']}", f"{job['job_id']}-1"
    eventually(lambda: manager.received(run))
    assert gateway.http.get(url).json()["status"] == "running"
    answer = gateway.http.delete(url).json()
    assert (answer["status"], answer["deleted"]) == ("cancelled", False)
    eventually(lambda: run in manager.control()["disconnected"])
    assert gateway.http.get(url).json()["status"] == "cancelled"
    assert gateway.http.delete(url).json()["deleted"] is True
    for method in ("GET", "DELETE"):
        assert gateway.http.request(method, url).status_code == 404


@pytest.mark.parametrize("boundary", ["#", "--#", "-----------------------------42"])
def test_boundary_does_not_count_in_the_digest(boundary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(boundary: str, value: str = "v") -> str:
        body = f"--{boundary}\r\nContent-Disposition: form-data; name=x\r\n\r\n{value * 300}\r\n--{boundary}--\r\n"
        return jobs._digest("/v1/vision/ocr", "", f'multipart/form-data; boundary="{boundary}"', body.encode())

    whole = digest("another")
    for window in (1, 7, 64):
        monkeypatch.setattr(jobs, "_WINDOW", window)
        assert digest(boundary) == whole
        assert digest(boundary, "w") != whole


def test_same_idempotency_key_submits_once(gateway: GatewayProcess) -> None:
    job = submit(gateway, idempotency_key="once")
    send = {"headers": {"idempotency-key": "once"}}
    again = gateway.http.post("/jobs/submit/chat", json=CHAT, **send)
    assert (again.status_code, again.json()["job_id"]) == (200, job["job_id"])
    other = gateway.http.post("/jobs/submit/chat", json={**CHAT, "n": 2}, **send)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_conflict")
    forms = [{"files": {"image": ("a.png", png(8, 8))}, "headers": {"idempotency-key": "form"}} for _ in range(2)]
    ids = {gateway.http.post("/jobs/submit/ocr", **form).json()["job_id"] for form in forms}
    assert len(ids) == 1, "clients draw another boundary each time"


def test_list_filters_and_pages(gateway: GatewayProcess) -> None:
    jobs = [submit(gateway, "embeddings", {"model": "ok", "input": "x"}) for _ in range(3)]
    for job in jobs:
        ended(gateway, job)
    query = "/jobs?status=completed,failed&model_type=embeddings&limit=2"
    first = gateway.http.get(query).json()
    assert [job["job_id"] for job in first["jobs"]] == [jobs[2]["job_id"], jobs[1]["job_id"]]
    second = gateway.http.get(f"{query}&before={first['next']}").json()
    assert (second["jobs"][0]["job_id"], second["count"], second["next"]) == (jobs[0]["job_id"], 1, None)


def test_job_of_another_key_does_not_exist(secured: GatewayProcess) -> None:
    mine, admin = {"x-api-key": "app-key"}, {"x-api-key": "gateway-key"}
    job = secured.http.post("/jobs/submit/chat", json=CHAT, headers=mine).json()
    url = f"/jobs/{job['job_id']}"
    eventually(lambda: secured.http.get(url, headers=mine).json()["status"] == "completed")
    for path in ("/jobs", url, f"{url}/request", f"{url}/result", f"{url}/events"):
        assert secured.http.get(path).status_code == 401
    claims = {"sub": "other", "exp": time.time() + 3600}
    theirs = {"x-api-key": jwt.encode(claims, JWT_SECRET)}
    for path in (url, f"{url}/request", f"{url}/result", f"{url}/events"):
        assert secured.http.get(path, headers=theirs).status_code == 404
    assert secured.http.delete(url, headers=theirs).status_code == 404
    assert secured.http.get("/jobs", headers=theirs).json()["jobs"] == []
    assert secured.http.get(f"/jobs?before={job['job_id']}", headers=theirs).status_code == 404
    [seen] = [row for row in secured.http.get("/jobs", headers=admin).json()["jobs"] if row["job_id"] == job["job_id"]]
    assert (seen["owner"], secured.http.get(url, headers=admin).status_code) == ("app", 200)


def test_only_the_owner_of_the_process_reads_jobs(gateway: GatewayProcess) -> None:
    submit(gateway)
    assert stat.S_IMODE((gateway.home / "jobs").stat().st_mode) == 0o700


async def test_streams_of_a_job_share_one_question_to_the_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them would otherwise send the manager two thousand requests a second."""
    asked: list[str] = []

    async def ask(_: JobWatch, id_: str) -> None:
        asked.append(id_)

    monkeypatch.setattr(JobWatch, "_ask", ask)
    monkeypatch.setattr("gateway.jobs.watch.view", lambda job, progress: {"progress": progress})
    watch = JobWatch(None, None)  # type: ignore[arg-type]
    job: Any = SimpleNamespace(id="job_1", run=1, state=JobState.RUNNING)
    other: Any = SimpleNamespace(id="job_1", run=2, state=JobState.RUNNING)
    await asyncio.gather(*(watch.look(job) for _ in range(50)), watch.look(other))
    assert asked == ["job_1-1", "job_1-2"]
