"""Rate limits: the sliding window by itself, and a limited key over HTTP."""

from __future__ import annotations

import pytest

from gateway.access.rate_limits import SlidingWindow
from tests.support.gateway_processes import GatewayProcess

PATH, BODY = "/v1/embeddings", {"model": "ok", "input": "x"}


def test_window_slides() -> None:
    window = SlidingWindow(4, 60)
    for _ in range(4):
        assert window.wait(30) == 0
        window.take()
    assert window.wait(30) == pytest.approx(30 + 15)  # in the next window, when these four weigh three quarters
    assert window.wait(60) == pytest.approx(15)
    assert window.wait(75.1) == 0
    window.take()
    assert window.wait(75.1) == pytest.approx(14.9)
    assert window.wait(300) == 0, "windows before the previous one do not count"


@pytest.mark.parametrize("now", [0.0, 12.5, 59.0, 61.0, 90.0])
def test_allows_a_request_exactly_after_the_wait(now: float) -> None:
    window = SlidingWindow(3, 60)
    for later in (0, 0, 20, 11, 0, 5):
        now += later
        if (wait := window.wait(now)) > 0:
            assert window.wait(now + wait - 0.01) > 0
            now += wait + 1e-6
            assert window.wait(now) == 0
        window.take()


def test_rejects_requests_above_a_keys_limit(secured: GatewayProcess) -> None:
    headers = {"x-api-key": "slow-key"}
    answers = [secured.http.post(PATH, json=BODY, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[2].headers["retry-after"]) <= 7200
    assert secured.http.post(PATH, json=BODY, headers={"x-api-key": "app-key"}).status_code == 200
