"""What the pool does when a start fails, memory runs out or a worker dies."""

from __future__ import annotations

from contract.errors import LoadFailed
from contract.status import State
from manager.processes.launchers import LoadFailure
from tests.manager.conftest import Make


def test_a_model_that_cannot_start_backs_off_and_says_why(make: Make) -> None:
    bench = make({"a": {"needs": 1}})
    delays = []
    for number in range(1, 5):
        ask = bench.ask("a")
        bench.started(f"a#{number}", LoadFailure("the weights are missing.", certain=True, exit_code=3))
        assert isinstance(ask.error, LoadFailed)
        assert ask.error.details["log_tail"] == "the last line"
        bench.stopped(f"a#{number}")
        assert bench.do(bench.roster.state_of, bench.pool.models["a"]) is State.BACKOFF
        refused = bench.ask("a").error
        assert isinstance(refused, LoadFailed)
        assert refused.retry_after is not None
        delays.append(round(refused.retry_after))
        bench.loop.advance(refused.retry_after + 0.1)
    assert delays == [1, 2, 4, 8]
    bench.ask("a")
    bench.started("a#5")
    assert bench.pool.models["a"].failures == 0


def test_a_start_that_was_killed_is_tried_again_without_a_word(make: Make) -> None:
    bench = make({"a": {"needs": 1}})
    ask = bench.ask("a")
    for number in (1, 2):
        bench.started(f"a#{number}", LoadFailure("killed", exit_code=-9))
        bench.stopped(f"a#{number}")
    assert ask.waits
    bench.started("a#3", LoadFailure("killed", exit_code=-9))
    assert isinstance(ask.error, LoadFailed)


def test_out_of_memory_at_load_raises_the_footprint_and_tries_once_more(make: Make) -> None:
    bench = make({"a": {"needs": 4}, "b": {"needs": 5}})
    idle = bench.ask("b")
    bench.started("b#1")
    idle.finish()
    ask = bench.ask("a")
    bench.started("a#1", LoadFailure("out of memory", certain=True, out_of_memory=True, exit_code=3))
    bench.meter.needs["a"] = 5 * 2**30
    bench.stopped("a#1")
    assert ask.waits
    assert bench.states() == {"b#1": State.READY, "a#2": State.STARTING}
    assert bench.roster.named("a#2").expected == 5 * 2**30
    bench.started("a#2")
    assert ask.holds


def test_out_of_memory_in_a_call_restarts_the_worker(make: Make) -> None:
    bench = make({"a": {"needs": 4}})
    ask = bench.ask("a")
    bench.started("a#1")
    bench.do(bench.life.reports["a#1"], {"event": "out_of_memory"})
    assert bench.states() == {"a#1": State.DRAINING}
    ask.finish()
    assert bench.states() == {"a#1": State.STOPPING}
    assert bench.pool.models["a"].status(State.STOPPED, 0, 1, (0, True)) is not None
    again = bench.ask("a")
    bench.stopped("a#1")
    assert bench.roster.named("a#2").expected == 5 * 2**30
    bench.started("a#2")
    assert again.holds


def test_a_crash_leaves_room_for_a_new_start(make: Make) -> None:
    bench = make({"a": {"needs": 8}})
    ask = bench.ask("a")
    bench.started("a#1")
    bench.crash("a#1")
    assert bench.states() == {"a#1": State.STOPPING}
    ask.finish()
    again = bench.ask("a")
    bench.stopped("a#1")
    bench.started("a#2")
    assert again.worker == "a#2"
    failure = bench.pool.models["a"].failure
    assert failure is not None
    assert failure.exit_code == -9
