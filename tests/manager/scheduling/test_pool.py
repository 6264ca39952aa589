"""The scheduler's promises, one by one, with workers that do what the test says."""

from __future__ import annotations

from contract.errors import DeadlinePassed, ModelNotFound, NeverFits, QueueFull, ShuttingDown
from contract.status import State
from tests.manager.conftest import Make


def test_one_start_serves_all_waiting_requests(make: Make) -> None:
    harness = make({"a": {"needs": 4}})
    requests = [harness.request("a") for _ in range(5)]
    assert harness.states() == {"a#1": State.STARTING}
    harness.finish_start("a#1")
    assert [request.worker for request in requests] == ["a#1"] * 5


def test_a_disconnect_frees_the_place_in_the_queue(make: Make) -> None:
    harness = make({"a": {"needs": 4, "max_queue": 2}})
    first, _second = harness.request("a"), harness.request("a")
    assert isinstance(harness.request("a").error, QueueFull)
    first.disconnect()
    assert harness.request("a").waiting


def test_evicts_least_recently_used_first(make: Make) -> None:
    harness = make({name: {"needs": 4} for name in "abc"})
    for name in "ab":
        request = harness.request(name)
        harness.finish_start(f"{name}#1")
        request.finish()
        harness.loop.advance(1)
    harness.request("a").finish()  # now b is the least recently used
    harness.request("c")
    assert harness.states() == {"a#1": State.READY, "b#1": State.STOPPING}
    harness.finish_stop("b#1")
    assert harness.states() == {"a#1": State.READY, "c#1": State.STARTING}


def test_a_start_waits_until_evicted_memory_is_back(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}})
    request = harness.request("a")
    harness.finish_start("a#1")
    request.finish()
    waiting = harness.request("b")
    harness.loop.advance(5)
    assert harness.states() == {"a#1": State.STOPPING}
    assert waiting.waiting
    harness.finish_stop("a#1")
    assert harness.states() == {"b#1": State.STARTING}


def test_a_busy_worker_is_drained_after_swap_after(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}}, swap_after=5)
    busy = harness.request("a")
    harness.finish_start("a#1")
    waiting = harness.request("b")
    harness.loop.advance(4)
    newcomer = harness.request("a")
    assert newcomer.in_progress, "a ready worker takes new requests until another one has waited long enough"
    harness.loop.advance(2)
    assert harness.states() == {"a#1": State.DRAINING}
    assert harness.request("a").waiting, "a draining worker takes no new requests"
    busy.finish()
    newcomer.finish()
    harness.finish_stop("a#1")
    harness.finish_start("b#1")
    assert waiting.in_progress


def test_draining_ends_when_the_waiting_client_disconnects(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}}, swap_after=5)
    harness.request("a")
    harness.finish_start("a#1")
    waiting = harness.request("b")
    harness.loop.advance(6)
    late = harness.request("a")
    assert late.waiting
    waiting.disconnect()
    assert late.in_progress
    assert harness.states() == {"a#1": State.READY}


def test_memory_reserved_for_the_oldest_request_is_kept(make: Make) -> None:
    harness = make({"big": {"needs": 9}, "small": {"needs": 3}, "other": {"needs": 3}}, swap_after=5)
    harness.request("small")
    harness.finish_start("small#1")
    oldest = harness.request("big")
    harness.loop.advance(6)
    assert harness.request("other").waiting
    assert "other#1" not in harness.states()
    assert oldest.waiting


def test_a_model_that_never_fits_is_refused_with_numbers(make: Make) -> None:
    harness = make({"a": {"needs": 11}})
    error = harness.request("a").error
    assert isinstance(error, NeverFits)
    assert error.details["needs_bytes"] > error.details["available_bytes"]["cpu"] > 0
    assert error.headers == {"x-should-retry": "false"}


def test_a_pinned_worker_is_never_evicted(make: Make) -> None:
    harness = make({"a": {"needs": 6, "pinned": True}, "b": {"needs": 6}})
    request = harness.request("a")
    harness.finish_start("a#1")
    request.finish()
    assert isinstance(harness.request("b").error, NeverFits), "its memory can never be used by others"
    harness.loop.advance(1000)
    assert harness.states() == {"a#1": State.READY}


def test_a_request_is_refused_at_its_deadline(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}}, max_wait=30, swap_after=1000)
    harness.request("a")
    harness.finish_start("a#1")
    patient, hasty = harness.request("b"), harness.request("b", max_wait=3)
    harness.loop.advance(4)
    assert isinstance(hasty.error, DeadlinePassed)
    assert patient.waiting
    harness.loop.advance(30)
    assert isinstance(patient.error, DeadlinePassed)


def test_idle_timeout_and_keep_alive(make: Make) -> None:
    harness = make({"a": {"needs": 1}, "b": {"needs": 1}, "c": {"needs": 1}})
    for name, keep_alive in (("a", None), ("b", 5), ("c", -1)):
        request = harness.request(name, keep_alive=keep_alive)
        harness.finish_start(f"{name}#1")
        request.finish()
    harness.loop.advance(6)
    assert harness.states() == {"a#1": State.READY, "b#1": State.STOPPING, "c#1": State.READY}
    harness.loop.advance(60)
    assert harness.states() == {"a#1": State.STOPPING, "b#1": State.STOPPING, "c#1": State.READY}


def test_keep_alive_holds_for_the_time_after_its_request_alone(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    kept = harness.request("a", keep_alive=-1)
    harness.finish_start("a#1")
    kept.finish()
    harness.loop.advance(600)
    assert harness.states() == {"a#1": State.READY}
    harness.request("a").finish()
    harness.loop.advance(61)
    assert harness.states() == {"a#1": State.STOPPING}


def test_keep_alive_of_the_request_that_ends_last_counts(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    long = harness.request("a")
    harness.finish_start("a#1")
    harness.request("a", keep_alive=0).finish()
    long.finish()
    harness.loop.advance(59)
    assert harness.states() == {"a#1": State.READY}
    harness.loop.advance(2)
    assert harness.states() == {"a#1": State.STOPPING}


def test_keep_alive_zero_stops_the_worker_after_the_response(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    request = harness.request("a", keep_alive=0)
    harness.finish_start("a#1")
    harness.loop.advance(100)
    assert request.in_progress
    request.finish()
    assert harness.states() == {"a#1": State.STOPPING}


def test_a_replica_starts_when_all_others_are_busy(make: Make) -> None:
    harness = make({"a": {"needs": 3, "replicas": 2}})
    first = harness.request("a")
    harness.finish_start("a#1")
    second = harness.request("a")
    assert second.worker == "a#1"
    harness.finish_start("a#2")
    third = harness.request("a")
    assert third.worker == "a#2"
    for request in (first, second, third):
        request.finish()
    requests = [harness.request("a") for _ in range(4)]
    assert sorted(str(request.worker) for request in requests) == ["a#1", "a#1", "a#2", "a#2"]


def test_a_model_goes_to_the_gpu_with_most_free_memory(make: Make) -> None:
    specs = {name: {"needs": 6, "device": "cuda"} for name in "abc"}
    harness = make(specs, {"GPU-0": 10, "GPU-1": 12})
    for name in "ab":
        harness.request(name)
    devices = {worker.model: worker.placement.devices for worker in harness.supervisor.workers}
    assert devices == {"a": ("GPU-1",), "b": ("GPU-0",)}
    placed = harness.supervisor.worker("a#1").placement
    assert placed.environment["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert placed.memory == harness.monitor.largest_budgets()["GPU-1"] > 0


def test_per_gpu_replicas_go_to_different_gpus(make: Make) -> None:
    harness = make({"a": {"needs": 6, "device": "cuda", "replicas": "per-gpu"}}, {"GPU-0": 10, "GPU-1": 10})
    harness.request("a")
    harness.finish_start("a#1")
    harness.request("a")
    assert {worker.placement.devices for worker in harness.supervisor.workers} == {("GPU-0",), ("GPU-1",)}


def test_reload_stops_only_changed_models(make: Make) -> None:
    harness = make({"a": {"needs": 1}, "b": {"needs": 1}, "c": {"needs": 1}})
    for name in "abc":
        request = harness.request(name)
        harness.finish_start(f"{name}#1")
        request.finish()
    models = dict(harness.pool.models)
    old = models["b"]
    changed = type(old)(old.spec.model_copy(update={"idle_timeout": 7.0}), old.capabilities)
    del models["c"]
    assert harness.reload(models | {"b": changed}) == ["b", "c"]
    assert harness.states() == {"a#1": State.READY, "b#1": State.STOPPING, "c#1": State.STOPPING}
    assert isinstance(harness.request("c").error, ModelNotFound)
    harness.request("b")
    assert harness.states()["b#2"] is State.STARTING


def test_a_reloaded_idle_timeout_applies_to_running_workers(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    request = harness.request("a")
    harness.finish_start("a#1")
    request.finish()
    manager = harness.settings.manager.model_copy(update={"idle_timeout": 5.0})
    settings = harness.settings.model_copy(update={"manager": manager})
    assert harness.reload(dict(harness.pool.models), settings) == []
    harness.loop.advance(6)
    assert harness.states() == {"a#1": State.STOPPING}


def test_on_quiet_waits_until_no_request_is_slowed_down(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    request = harness.request("a")
    harness.quiet_moments.clear()
    harness.finish_start("a#1")
    harness.loop.advance(3)
    assert not harness.quiet_moments
    request.finish()
    harness.loop.advance(1)
    assert len(harness.quiet_moments) == 1


def test_on_quiet_is_called_late_on_a_busy_server(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    harness.request("a")
    harness.quiet_moments.clear()
    harness.finish_start("a#1")
    harness.loop.advance(12)
    assert len(harness.quiet_moments) == 1


def test_memory_used_by_other_programs_is_not_handed_out(make: Make) -> None:
    harness = make({"a": {"needs": 6}}, max_wait=20)
    harness.meter.used_by_others = 6 * 2**30
    harness.run(harness.monitor.sample(()))
    request = harness.request("a")
    assert request.waiting
    assert harness.states() == {}
    harness.meter.used_by_others = 0
    harness.run(harness.monitor.sample(()))
    harness.loop.advance(2)
    assert harness.states() == {"a#1": State.STARTING}


def test_a_start_without_waiting_requests_makes_room(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}})
    harness.request("a").disconnect()
    waiting = harness.request("b")
    assert harness.states() == {"a#1": State.STOPPING}
    harness.finish_stop("a#1")
    harness.finish_start("b#1")
    assert waiting.in_progress


def test_close_refuses_requests_and_stops_workers(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}})
    in_progress = harness.request("a")
    harness.finish_start("a#1")
    waiting = harness.request("b")
    closing = harness.loop.create_task(harness.pool.close())
    harness.loop.settle()
    assert isinstance(waiting.error, ShuttingDown)
    harness.finish_stop("a#1")
    in_progress.finish()
    harness.loop.settle()
    assert closing.done()
    assert isinstance(harness.request("a").error, ShuttingDown)


def test_a_scheduler_that_stops_deciding_is_noticed(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    harness.loop.advance(30)
    assert harness.call(harness.pool.scheduler_alive)
    harness.pool._timer.cancel()  # type: ignore[union-attr]
    harness.loop.advance(30)
    assert not harness.call(harness.pool.scheduler_alive)
