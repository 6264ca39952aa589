"""Health, metrics, status, events and eviction."""

from __future__ import annotations

import json

import pytest

from contract import __version__
from tests.support.gateway_processes import FakeManagerProcess, GatewayProcess


def test_overview_and_health(gateway: GatewayProcess) -> None:
    for path in ("/", "/v1"):
        assert gateway.http.get(path).json()["version"] == __version__
    assert gateway.http.get("/healthz").json() == {"status": "healthy"}
    for path in ("/health", "/v1/health"):
        assert gateway.http.get(path).json()["status"] == "healthy"
    assert gateway.http.get("/ready").json() == {"status": "ready"}


def test_status_and_evict_come_from_the_manager(gateway: GatewayProcess) -> None:
    assert gateway.http.get("/v1/system/status").json()["version"] == "fake"
    assert gateway.http.post("/v1/system/evict/fine").json() == {"evicted": ["ok#1"], "freed_bytes": 7}
    assert gateway.http.post("/v1/system/evict/org/slashed").json()["evicted"] == ["org/slashed#1"]
    assert gateway.http.post("/v1/system/evict/missing").status_code == 404


@pytest.mark.parametrize(
    ("query", "body", "forced"), [("", b"", "false"), ("?force=true", b"", "true"), ("", b'{"force": true}', "true")]
)
def test_eviction_may_be_forced(
    gateway: GatewayProcess, manager: FakeManagerProcess, query: str, body: bytes, forced: str
) -> None:
    headers = {"content-type": "application/json"}
    assert gateway.http.post(f"/v1/system/evict/fine{query}", content=body, headers=headers).status_code == 200
    assert manager.orders()[-1]["query"] == f"force={forced}"


def test_eviction_refuses_what_it_does_not_know(gateway: GatewayProcess) -> None:
    for answer in (
        gateway.http.post("/v1/system/evict/fine?forced=true"),
        gateway.http.post("/v1/system/evict/fine", json={"force": "perhaps"}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_field")


def test_metrics_combine_both_programs_without_duplicates(gateway: GatewayProcess) -> None:
    page = gateway.http.get("/metrics").text
    assert 'api_requests_total{endpoint="/metrics"' in gateway.http.get("/metrics").text
    assert "models_loaded 2.0" in page
    assert page.count("# TYPE active_requests ") == 1
    assert "active_requests 9.0" not in page


def test_unknown_paths_share_one_metrics_label(gateway: GatewayProcess) -> None:
    gateway.http.get("/wp-login.php")
    assert gateway.http.post("/v1/scan-1", json={}).status_code == 404
    json_type = {"content-type": "application/json"}
    assert gateway.http.post("/v1/scan-2", content=b"{", headers=json_type).status_code == 400
    page = gateway.http.get("/metrics").text
    assert 'endpoint="unmatched",status="404"' in page
    assert "wp-login" not in page
    assert "scan-" not in page


def test_relays_the_managers_events(gateway: GatewayProcess, manager: FakeManagerProcess) -> None:
    with gateway.http.stream("GET", "/v1/system/events?since=0") as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": hello"
        manager.control("event", {"type": "memory", "bytes": 5})
        event = next(line for line in lines if line.startswith("data:"))
    assert json.loads(event[5:])["bytes"] == 5


def test_head_works_wherever_get_does(gateway: GatewayProcess) -> None:
    for path in ("/", "/healthz", "/ready", "/metrics", "/openapi.json", "/v1/models", "/v1/models/ok", "/api/models"):
        answer = gateway.http.head(path)
        assert (answer.status_code, answer.content) == (200, b""), path
        assert answer.headers["content-length"] != "0"
    assert gateway.http.head("/v1/system/events").status_code == 200, "it does not wait for events"
    assert gateway.http.head("/v1/models/missing").status_code == 404
    assert gateway.http.head("/v1/embeddings").status_code == 405
