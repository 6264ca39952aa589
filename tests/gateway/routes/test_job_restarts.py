"""Jobs of gateways that end and start again: they go on, call their webhooks, or are refused."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.gateway_processes import (
    ROOT,
    FakeManagerProcess,
    configuration,
    eventually,
    key,
    run_gateway,
)
from tests.support.job_requests import CHAT, submit


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
