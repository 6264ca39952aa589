"""Submits jobs to a gateway, and waits for their ends."""

from __future__ import annotations

from typing import Any

from tests.support.gateway_processes import GatewayProcess, eventually

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
