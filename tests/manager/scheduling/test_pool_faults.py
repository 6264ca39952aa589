"""What the scheduler does when a start fails, memory runs out, or a worker crashes."""

from __future__ import annotations

from contract.asgi.metrics import REGISTRY
from contract.errors import LoadFailed
from contract.status import State
from manager.state.process import LoadFailure
from tests.manager.conftest import Make


def test_a_failed_start_backs_off_and_reports_why(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    delays = []
    for number in range(1, 5):
        request = harness.request("a")
        harness.finish_start(f"a#{number}", LoadFailure("the weights are missing.", certain=True, exit_code=3))
        assert isinstance(request.error, LoadFailed)
        assert request.error.details["log_tail"] == "the last line"
        harness.finish_stop(f"a#{number}")
        assert harness.call(harness.supervisor.state_of, harness.pool.models["a"]) is State.BACKOFF
        refused = harness.request("a").error
        assert isinstance(refused, LoadFailed)
        assert refused.retry_after is not None
        delays.append(round(refused.retry_after))
        harness.loop.advance(refused.retry_after + 0.1)
    assert delays == [1, 2, 4, 8]
    harness.request("a")
    harness.finish_start("a#5")
    assert harness.pool.models["a"].failures == 0


def test_lasting_failure_says_what_to_do_and_not_to_retry(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    request = harness.request("a")
    harness.finish_start("a#1", LoadFailure("Install the library.", certain=True, exit_code=3, permanent=True))
    harness.finish_stop("a#1")
    for error in (request.error, harness.request("a").error):
        assert isinstance(error, LoadFailed)
        assert error.headers == {"x-should-retry": "false"}
        assert error.message == "a could not be loaded: Install the library."
        assert "retry_after" not in error.details


def test_a_killed_start_is_retried_twice(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    request = harness.request("a")
    for number in (1, 2):
        harness.finish_start(f"a#{number}", LoadFailure("killed", exit_code=-9))
        harness.finish_stop(f"a#{number}")
    assert request.waiting
    harness.finish_start("a#3", LoadFailure("killed", exit_code=-9))
    assert isinstance(request.error, LoadFailed)


def test_out_of_memory_while_loading_is_retried_with_more(make: Make) -> None:
    harness = make({"a": {"needs": 4}, "b": {"needs": 5}})
    idle = harness.request("b")
    harness.finish_start("b#1")
    idle.finish()
    request = harness.request("a")
    harness.finish_start("a#1", LoadFailure("out of memory", certain=True, out_of_memory=True, exit_code=3))
    harness.meter.needs["a"] = 5 * 2**30
    harness.finish_stop("a#1")
    assert request.waiting
    assert harness.states() == {"b#1": State.READY, "a#2": State.STARTING}
    assert harness.supervisor.worker("a#2").expected == 5 * 2**30
    harness.finish_start("a#2")
    assert request.in_progress


def test_out_of_memory_in_a_request_restarts_the_worker(make: Make) -> None:
    harness = make({"a": {"needs": 4}})
    request = harness.request("a")
    harness.finish_start("a#1")
    harness.call(harness.lifecycle.reports["a#1"], {"event": "out_of_memory"})
    assert harness.states() == {"a#1": State.DRAINING}
    request.finish()
    assert harness.states() == {"a#1": State.STOPPING}
    assert harness.pool.models["a"].status(State.STOPPED, 0, 1, (0, True), 0) is not None
    again = harness.request("a")
    harness.finish_stop("a#1")
    assert harness.supervisor.worker("a#2").expected == 5 * 2**30
    harness.finish_start("a#2")
    assert again.in_progress


def test_a_crashed_worker_is_replaced(make: Make) -> None:
    harness = make({"a": {"needs": 8}})
    request = harness.request("a")
    harness.finish_start("a#1")
    harness.crash("a#1")
    assert harness.states() == {"a#1": State.STOPPING}
    request.finish()
    again = harness.request("a")
    harness.finish_stop("a#1")
    harness.finish_start("a#2")
    assert again.worker == "a#2"
    failure = harness.pool.models["a"].failure
    assert failure is not None
    assert failure.exit_code == -9


def test_worker_counts_outlive_the_worker(make: Make) -> None:
    harness = make({"counting": {"needs": 1}})
    request = harness.request("counting")
    harness.finish_start("counting#1")
    report = {"event": "work", "steps": {"1": 2, "16": 3}, "tokens": {"read": 9}, "held": {"prefix_cache": 7}}
    harness.call(harness.lifecycle.reports["counting#1"], report)
    assert harness.supervisor.worker("counting#1").status(0).cache_bytes == {"prefix_cache": 7}
    harness.crash("counting#1")
    request.finish()
    harness.finish_stop("counting#1")
    assert _sample("chat_step_rows_count") == 5
    assert _sample("chat_step_rows_sum") == 2 + 3 * 16
    assert _sample("chat_prompt_tokens_total", source="read") == 9


def _sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"model": "counting", **labels}) or 0.0
