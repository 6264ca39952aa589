"""CORS: which pages may call, and which headers they may read."""

from __future__ import annotations

from gateway.access.cors import exposed_headers
from tests.support.gateway_processes import GatewayProcess

PATH, BODY = "/v1/embeddings", {"model": "ok", "input": "x"}
ORIGIN = {"origin": "https://page.example"}


def test_preflight_allows_configured_origins(secured: GatewayProcess) -> None:
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = secured.http.options(PATH, headers=ORIGIN | wanted)
    assert preflight.headers["access-control-allow-origin"] == "https://page.example"
    network = {"access-control-request-private-network": "true"}
    preflight = secured.http.options(PATH, headers=ORIGIN | wanted | network)
    assert (preflight.status_code, preflight.headers["access-control-allow-private-network"]) == (200, "true")
    evil = {"origin": "https://other.example"}
    refused = secured.http.options(PATH, headers=evil | wanted | network)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert "CORS_ORIGINS" in refused.json()["error"]["message"]
    other = secured.http.post(PATH, json=BODY, headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_pages_can_read_errors(secured: GatewayProcess) -> None:
    answer = secured.http.post(PATH, json=BODY, headers=ORIGIN)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    assert answer.headers["x-request-id"]


def test_pages_can_read_the_tasks_array_headers(secured: GatewayProcess) -> None:
    array_headers = {f"x-array-{name}" for name in ("dtype", "shape", "kind", "unit", "scale", "offset")}
    assert array_headers == {name for name in exposed_headers() if name.startswith("x-array-")}
    answer = secured.http.get("/healthz", headers=ORIGIN)
    assert "x-should-retry" in exposed_headers()
    assert set(answer.headers["access-control-expose-headers"].split(", ")) == set(exposed_headers())
