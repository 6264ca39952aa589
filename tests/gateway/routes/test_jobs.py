"""Jobs over HTTP, with a fake manager: submitted, listed, run, cancelled, and each seen by its owner only."""

from __future__ import annotations

import base64
import json
import re
import stat
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import jwt
import pytest

from tests.gateway.conftest import JWT_SECRET
from tests.support.gateway_processes import (
    ROOT,
    FakeManagerProcess,
    GatewayProcess,
    configuration,
    eventually,
    key,
    run_gateway,
)
from tests.support.sample_images import png

CHAT = {"model": "ok", "messages": [{"role": "user", "content": "hi"}]}
UNENDED = {"queued", "running"}


def submit(gateway: GatewayProcess, type_: str = "chat", body: Any = CHAT, **headers: str) -> dict[str, Any]:
    """Submit a job; its first state."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = gateway.http.post(f"/jobs/submit/{type_}", json=body, headers=named)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['job_id']}"
    job: dict[str, Any] = answer.json()
    return job


def ended(gateway: GatewayProcess, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it has ended."""

    def state() -> dict[str, Any] | None:
        found: dict[str, Any] = gateway.http.get(f"/jobs/{job['job_id']}").json()
        return None if found["status"] in UNENDED else found

    found = eventually(state)
    assert found is not None
    return found


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
    for path in ("/jobs", url, f"{url}/result", f"{url}/events"):
        assert secured.http.get(path).status_code == 401
    claims = {"sub": "other", "exp": time.time() + 3600}
    theirs = {"x-api-key": jwt.encode(claims, JWT_SECRET)}
    for path in (url, f"{url}/result", f"{url}/events"):
        assert secured.http.get(path, headers=theirs).status_code == 404
    assert secured.http.delete(url, headers=theirs).status_code == 404
    assert secured.http.get("/jobs", headers=theirs).json()["jobs"] == []
    assert secured.http.get(f"/jobs?before={job['job_id']}", headers=theirs).status_code == 404
    [seen] = [row for row in secured.http.get("/jobs", headers=admin).json()["jobs"] if row["job_id"] == job["job_id"]]
    assert (seen["owner"], secured.http.get(url, headers=admin).status_code) == ("app", 200)


def test_jobs_of_a_revoked_key_do_not_run(tmp_path: Path, manager: FakeManagerProcess) -> None:
    def settings(*names: str) -> dict[str, Any]:
        keys = [key(name, f"{name}-key") for name in names]
        return configuration(manager.port, jobs={"max_running": 1}, security={"api_keys": keys})

    body = {**CHAT, "model": "hangs"}
    with run_gateway(tmp_path, settings("kept", "revoked")) as gateway:
        gateway.wait_ready()
        revoked, kept = ({"x-api-key": f"{name}-key"} for name in ("revoked", "kept"))
        theirs = [gateway.http.post("/jobs/submit/chat", json=body, headers=revoked).json() for _ in range(2)]
        mine = gateway.http.post("/jobs/submit/chat", json=body, headers=kept).json()
        eventually(lambda: manager.received(f"{theirs[0]['job_id']}-1"))
        gateway.process.terminate()
        assert gateway.process.wait(100) == 0
    with run_gateway(tmp_path, settings("kept")) as gateway:
        gateway.wait_ready()
        eventually(lambda: manager.received(f"{mine['job_id']}-1"))
        gateway.process.terminate()
        assert gateway.process.wait(100) == 0
    with run_gateway(tmp_path, settings("kept", "revoked")) as gateway:
        gateway.wait_ready()
        for job in theirs:
            ended = gateway.http.get(f"/jobs/{job['job_id']}", headers=revoked).json()
            assert (ended["status"], ended["error"]["code"]) == ("cancelled", "forbidden")
            assert "'revoked', which submitted this job, has been revoked" in ended["error"]["message"]
    assert not manager.received(f"{theirs[0]['job_id']}-2")
    assert not manager.received(f"{theirs[1]['job_id']}-1")


class Receiver(BaseHTTPRequestHandler):
    """Keeps the calls that it gets in its class."""

    calls: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Write no log."""


@pytest.fixture
def receiver() -> Iterator[str]:
    """The URL of a receiver of webhooks."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


def verifies(headers: dict[str, str], body: bytes, secret: str) -> bool:
    """What the function in the docs says of a webhook."""
    page = (ROOT / "docs/jobs.md").read_text()
    found = re.search(r"(?s)## Webhooks\n.*?```python\n(.*?)```", page)
    assert found
    names: dict[str, Any] = {}
    exec(found[1], names)
    return bool(names["is_genuine"](secret, headers, body))


def test_killed_gateway_goes_on_with_its_jobs(tmp_path: Path, manager: FakeManagerProcess, receiver: str) -> None:
    secret = f"whsec_{base64.b64encode(bytes(32)).decode()}"
    private = {"allow_private": ["127.0.0.0/8"]}
    settings = configuration(manager.port, gateway=private, jobs={"max_running": 1, "webhook_secret": secret})
    with run_gateway(tmp_path, settings) as gateway:
        gateway.wait_ready()
        assert gateway.http.get("/jobs").json() == {"jobs": [], "count": 0, "next": None}
        assert not (gateway.home / "jobs").exists(), "without a job there is no database"
        hanging = submit(gateway, body={**CHAT, "model": "hangs"}, x_job_webhook=receiver)
        waiting = submit(gateway, body={**CHAT, "model": "hangs"})
        eventually(lambda: manager.received(f"{hanging['job_id']}-1"))
        gateway.process.kill()
    (gateway.home / "gateway" / "address").unlink()  # a gateway that is killed leaves it behind
    with run_gateway(tmp_path, settings) as gateway:
        gateway.wait_ready()
        eventually(lambda: manager.received(f"{hanging['job_id']}-2"))
        gateway.http.delete(f"/jobs/{hanging['job_id']}")
        [(headers, body)] = eventually(lambda: Receiver.calls)
        message = json.loads(body)
        assert (message["type"], message["data"]["job_id"]) == ("job.cancelled", hanging["job_id"])
        assert verifies(headers, body, secret)
        assert not verifies(headers, body + b" ", secret)
        url = f"/jobs/{hanging['job_id']}"
        eventually(lambda: gateway.http.get(url).json()["webhook"]["accepted_at"])
        eventually(lambda: manager.received(f"{waiting['job_id']}-1"))
        gateway.process.terminate()
        assert gateway.process.wait(100) == 0, "a job that runs does not hold up the end"
    with run_gateway(tmp_path, settings) as gateway:
        gateway.wait_ready()
        eventually(lambda: manager.received(f"{waiting['job_id']}-2"))
        gateway.http.delete(f"/jobs/{waiting['job_id']}")
        states = {job["job_id"]: job["status"] for job in gateway.http.get("/jobs").json()["jobs"]}
        assert states == {hanging["job_id"]: "cancelled", waiting["job_id"]: "cancelled"}


def test_unusable_state_folder_is_reported(tmp_path: Path, manager: FakeManagerProcess) -> None:
    with run_gateway(tmp_path, configuration(manager.port)) as gateway:
        gateway.wait_ready()
        (gateway.home / "jobs").write_text("not a folder")
        answer = gateway.http.post("/jobs/submit/chat", json=CHAT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert "ENGINEHOUSE_HOME" in answer.json()["error"]["message"]
        assert gateway.http.post("/v1/chat/completions", json=CHAT).status_code == 200


def test_only_the_owner_of_the_process_reads_jobs(gateway: GatewayProcess) -> None:
    submit(gateway)
    assert stat.S_IMODE((gateway.home / "jobs").stat().st_mode) == 0o700
