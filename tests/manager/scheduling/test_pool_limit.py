"""At the limit of requests at once, a worker that older requests wait for is not evicted for a younger request."""

from __future__ import annotations

import pytest

from contract.status import State
from tests.manager.conftest import Make


def test_older_requests_at_the_limit_keep_their_workers(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    limits = {"max_concurrent_requests": 2, "swap_after": 5, "max_wait": 200}
    harness = make({name: {"needs": 4} for name in "abc"}, **limits)
    running = [harness.request(name) for name in "bc"]
    harness.finish_start("b#1")
    harness.finish_start("c#1")
    older = [harness.request(name) for name in "bc"]
    younger = harness.request("a")
    harness.loop.advance(20)
    assert harness.states() == {"b#1": State.READY, "c#1": State.READY}
    for request in running:
        request.finish()
    assert [request.worker for request in older] == ["b#1", "c#1"]
    harness.loop.advance(2)
    assert list(harness.states().values()).count(State.DRAINING) == 1
    for request in older:
        request.finish()
    for name in list(harness.lifecycle.stops):
        harness.finish_stop(name)
    harness.finish_start("a#1")
    assert younger.worker == "a#1"
    assert not caplog.records
