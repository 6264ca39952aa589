"""Proxies do not hold back what the gateway's endless streams send."""

from __future__ import annotations

import pytest

from tests.support.gateway_processes import GatewayProcess


@pytest.mark.parametrize("path", ["/v1/system/requests/events", "/v1/system/status", "/v1/system/events"])
def test_proxies_hold_no_events_back(gateway: GatewayProcess, path: str) -> None:
    with gateway.http.stream("GET", path, headers={"accept": "text/event-stream"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
