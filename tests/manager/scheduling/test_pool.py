"""The pool's promises, one by one, over workers that do what the test says."""

from __future__ import annotations

from contract.errors import DeadlinePassed, ModelNotFound, NeverFits, QueueFull, ShuttingDown
from contract.status import State
from tests.manager.conftest import Make


def test_one_start_serves_everybody_who_waits_in_order(make: Make) -> None:
    bench = make({"a": {"needs": 4}})
    asks = [bench.ask("a") for _ in range(5)]
    assert bench.states() == {"a#1": State.STARTING}
    bench.started("a#1")
    assert [ask.worker for ask in asks] == ["a#1"] * 5


def test_who_leaves_while_waiting_frees_its_place(make: Make) -> None:
    bench = make({"a": {"needs": 4, "max_queue": 2}})
    first, _second = bench.ask("a"), bench.ask("a")
    assert isinstance(bench.ask("a").error, QueueFull)
    first.leave()
    assert bench.ask("a").waits


def test_an_idle_worker_is_evicted_least_recently_used_first(make: Make) -> None:
    bench = make({name: {"needs": 4} for name in "abc"})
    for name in "ab":
        ask = bench.ask(name)
        bench.started(f"{name}#1")
        ask.finish()
        bench.loop.advance(1)
    bench.ask("a").finish()  # now b is the one not used for longest
    bench.ask("c")
    assert bench.states() == {"a#1": State.READY, "b#1": State.STOPPING}
    bench.stopped("b#1")
    assert bench.states() == {"a#1": State.READY, "c#1": State.STARTING}


def test_the_next_start_waits_until_the_memory_is_back(make: Make) -> None:
    bench = make({"a": {"needs": 8}, "b": {"needs": 8}})
    ask = bench.ask("a")
    bench.started("a#1")
    ask.finish()
    waiter = bench.ask("b")
    bench.loop.advance(5)
    assert bench.states() == {"a#1": State.STOPPING}
    assert waiter.waits
    bench.stopped("a#1")
    assert bench.states() == {"b#1": State.STARTING}


def test_a_busy_worker_is_not_evicted_but_drained_after_swap_after(make: Make) -> None:
    bench = make({"a": {"needs": 8}, "b": {"needs": 8}}, swap_after=5)
    busy = bench.ask("a")
    bench.started("a#1")
    waiter = bench.ask("b")
    bench.loop.advance(4)
    newcomer = bench.ask("a")
    assert newcomer.holds, "a resident model takes new leases until somebody has waited long enough"
    bench.loop.advance(2)
    assert bench.states() == {"a#1": State.DRAINING}
    assert bench.ask("a").waits, "a drained worker is closed to newcomers"
    busy.finish()
    newcomer.finish()
    bench.stopped("a#1")
    bench.started("b#1")
    assert waiter.holds


def test_a_worker_drained_for_somebody_who_left_opens_again(make: Make) -> None:
    bench = make({"a": {"needs": 8}, "b": {"needs": 8}}, swap_after=5)
    bench.ask("a")
    bench.started("a#1")
    waiter = bench.ask("b")
    bench.loop.advance(6)
    late = bench.ask("a")
    assert late.waits
    waiter.leave()
    assert late.holds
    assert bench.states() == {"a#1": State.READY}


def test_nobody_younger_takes_what_was_cleared_for_the_oldest(make: Make) -> None:
    bench = make({"big": {"needs": 9}, "small": {"needs": 3}, "other": {"needs": 3}}, swap_after=5)
    bench.ask("small")
    bench.started("small#1")
    oldest = bench.ask("big")
    bench.loop.advance(6)
    assert bench.ask("other").waits
    assert "other#1" not in bench.states()
    assert oldest.waits


def test_what_never_fits_is_told_at_once_with_the_numbers(make: Make) -> None:
    bench = make({"a": {"needs": 11}})
    error = bench.ask("a").error
    assert isinstance(error, NeverFits)
    assert error.details["needs_bytes"] > error.details["available_bytes"]["cpu"] > 0
    assert error.headers == {"x-should-retry": "false"}


def test_a_pinned_worker_is_never_evicted_and_counts_against_what_fits(make: Make) -> None:
    bench = make({"a": {"needs": 6, "pinned": True}, "b": {"needs": 6}})
    ask = bench.ask("a")
    bench.started("a#1")
    ask.finish()
    assert isinstance(bench.ask("b").error, NeverFits)
    bench.loop.advance(1000)
    assert bench.states() == {"a#1": State.READY}


def test_the_deadline_of_a_waiter(make: Make) -> None:
    bench = make({"a": {"needs": 8}, "b": {"needs": 8}}, max_wait=30, swap_after=1000)
    bench.ask("a")
    bench.started("a#1")
    patient, hasty = bench.ask("b"), bench.ask("b", max_wait=3)
    bench.loop.advance(4)
    assert isinstance(hasty.error, DeadlinePassed)
    assert patient.waits
    bench.loop.advance(30)
    assert isinstance(patient.error, DeadlinePassed)


def test_idle_timeout_and_keep_alive(make: Make) -> None:
    bench = make({"a": {"needs": 1}, "b": {"needs": 1}, "c": {"needs": 1}})
    for name, keep_alive in (("a", None), ("b", 5), ("c", -1)):
        ask = bench.ask(name, keep_alive=keep_alive)
        bench.started(f"{name}#1")
        ask.finish()
    bench.loop.advance(6)
    assert bench.states()["b#1"] is State.STOPPING
    bench.loop.advance(60)
    assert bench.states()["c#1"] is State.READY


def test_keep_alive_zero_ends_the_worker_with_the_answer(make: Make) -> None:
    bench = make({"a": {"needs": 1}})
    ask = bench.ask("a", keep_alive=0)
    bench.started("a#1")
    bench.loop.advance(100)
    assert ask.holds
    ask.finish()
    assert bench.states() == {"a#1": State.STOPPING}


def test_replicas_start_when_the_others_are_busy_and_share_the_load(make: Make) -> None:
    bench = make({"a": {"needs": 3, "replicas": 2}})
    first = bench.ask("a")
    bench.started("a#1")
    second = bench.ask("a")
    assert second.worker == "a#1"
    bench.started("a#2")
    third = bench.ask("a")
    assert third.worker == "a#2"
    for ask in (first, second, third):
        ask.finish()
    asks = [bench.ask("a") for _ in range(4)]
    assert sorted(str(ask.worker) for ask in asks) == ["a#1", "a#1", "a#2", "a#2"]


def test_placement_takes_the_device_with_the_most_free_memory(make: Make) -> None:
    specs = {name: {"needs": 6, "device": "cuda"} for name in "abc"}
    bench = make(specs, {"GPU-0": 10, "GPU-1": 12})
    for name in "ab":
        bench.ask(name)
    placed = {worker.model: worker.placement.devices for worker in bench.roster.workers}
    assert placed == {"a": ("GPU-1",), "b": ("GPU-0",)}
    assert bench.roster.named("a#1").placement.environment["CUDA_VISIBLE_DEVICES"] == "GPU-1"


def test_per_gpu_replicas(make: Make) -> None:
    bench = make({"a": {"needs": 6, "device": "cuda", "replicas": "per-gpu"}}, {"GPU-0": 10, "GPU-1": 10})
    bench.ask("a")
    bench.started("a#1")
    bench.ask("a")
    assert {worker.placement.devices for worker in bench.roster.workers} == {("GPU-0",), ("GPU-1",)}


def test_evict_by_hand_lets_a_busy_worker_finish(make: Make) -> None:
    bench = make({"a": {"needs": 1}})
    ask = bench.ask("a")
    bench.started("a#1")
    bench.do(bench.pool.evict, "a")
    assert ask.holds
    assert bench.states() == {"a#1": State.DRAINING}
    ask.finish()
    assert bench.states() == {"a#1": State.STOPPING}


def test_reload_stops_only_what_changed(make: Make) -> None:
    bench = make({"a": {"needs": 1}, "b": {"needs": 1}, "c": {"needs": 1}})
    for name in "abc":
        ask = bench.ask(name)
        bench.started(f"{name}#1")
        ask.finish()
    models = dict(bench.pool.models)
    old = models["b"]
    changed = type(old)(old.spec.model_copy(update={"idle_timeout": 7.0}), old.offer)
    del models["c"]
    assert bench.do(bench.pool.reload, bench.settings, models | {"b": changed}) == ["b", "c"]
    assert bench.states() == {"a#1": State.READY, "b#1": State.STOPPING, "c#1": State.STOPPING}
    assert isinstance(bench.ask("c").error, ModelNotFound)
    bench.ask("b")
    assert bench.states()["b#2"] is State.STARTING


def test_a_reloaded_idle_timeout_reaches_workers_that_run(make: Make) -> None:
    bench = make({"a": {"needs": 1}})
    ask = bench.ask("a")
    bench.started("a#1")
    ask.finish()
    manager = bench.settings.manager.model_copy(update={"idle_timeout": 5.0})
    settings = bench.settings.model_copy(update={"manager": manager})
    assert bench.do(bench.pool.reload, settings, dict(bench.pool.models)) == []
    bench.loop.advance(6)
    assert bench.states() == {"a#1": State.STOPPING}


def test_standbys_are_made_when_nobody_is_slowed_down_by_it(make: Make) -> None:
    bench = make({"a": {"needs": 1}})
    made: list[float] = []
    bench.pool.calm = lambda: made.append(bench.loop.time())
    ask = bench.ask("a")
    bench.started("a#1")
    bench.loop.advance(3)
    assert not made
    ask.finish()
    bench.loop.advance(1)
    assert len(made) == 1
    bench.ask("a")
    bench.do(bench.roster.changed)
    bench.loop.advance(12)
    assert len(made) == 2, "a house that is never at rest gets them too"


def test_foreign_memory_is_not_handed_out(make: Make) -> None:
    bench = make({"a": {"needs": 6}}, max_wait=20)
    bench.meter.foreign = 6 * 2**30
    bench.run(bench.gauge.sample(()))
    ask = bench.ask("a")
    assert ask.waits
    assert bench.states() == {}
    bench.meter.foreign = 0
    bench.run(bench.gauge.sample(()))
    bench.loop.advance(2)
    assert bench.states() == {"a#1": State.STARTING}


def test_a_start_that_nobody_waits_for_makes_room(make: Make) -> None:
    bench = make({"a": {"needs": 8}, "b": {"needs": 8}})
    bench.ask("a").leave()
    waiter = bench.ask("b")
    assert bench.states() == {"a#1": State.STOPPING}
    bench.stopped("a#1")
    bench.started("b#1")
    assert waiter.holds


def test_closing_refuses_who_waits_and_ends_every_worker(make: Make) -> None:
    bench = make({"a": {"needs": 8}, "b": {"needs": 8}})
    idle = bench.ask("a")
    bench.started("a#1")
    waiter = bench.ask("b")
    closing = bench.loop.create_task(bench.pool.close())
    bench.loop.settle()
    assert isinstance(waiter.error, ShuttingDown)
    bench.stopped("a#1")
    idle.finish()
    bench.loop.settle()
    assert closing.done()
    assert isinstance(bench.ask("a").error, ShuttingDown)


def test_the_scheduler_tells_whether_it_turns(make: Make) -> None:
    bench = make({"a": {"needs": 1}})
    bench.loop.advance(30)
    assert bench.do(bench.pool.turning)
    bench.pool._timer.cancel()  # type: ignore[union-attr]
    bench.loop.advance(30)
    assert not bench.do(bench.pool.turning)
