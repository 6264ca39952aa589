"""Unlucky combinations of events: no request may starve or hang, and no worker may be mistaken for another."""

from __future__ import annotations

from dataclasses import replace

from contract.asgi.metrics import REGISTRY
from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.status import ModelFacts, State
from manager.memory.device import GIB
from manager.state.model import Capabilities, Model
from manager.state.process import LoadFailure
from tests.manager.conftest import Make
from tests.support.virtual_clock import model


def test_other_models_starts_do_not_starve_the_oldest(make: Make) -> None:
    harness = make({"big": {"needs": 10}} | {name: {"needs": 4} for name in "abc"}, swap_after=5)
    serving = harness.request("a")
    harness.finish_start("a#1")
    starting = harness.request("b")
    big = harness.request("big")
    harness.loop.advance(6)  # b is still starting and cannot be drained, although it is big's turn
    serving.finish()
    younger = harness.request("c")
    assert harness.states() == {"a#1": State.READY, "b#1": State.STARTING}, (
        "c must not take the memory that big waits for"
    )
    harness.finish_start("b#1")
    assert starting.in_progress
    assert harness.states() == {"a#1": State.STOPPING, "b#1": State.DRAINING}
    starting.finish()
    for name in ("a#1", "b#1"):
        harness.finish_stop(name)
    harness.finish_start("big#1")
    assert big.in_progress
    assert younger.waiting


def test_a_model_added_again_reuses_no_worker_name(make: Make) -> None:
    harness = make({"a": {"needs": 2}})
    first = harness.request("a")
    harness.finish_start("a#1")
    harness.reload({})
    harness.reload({"a": model("a", 2 * GIB, {})})
    request = harness.request("a")
    assert harness.states() == {"a#1": State.DRAINING, "a#2": State.STARTING}
    harness.finish_start("a#2")
    assert (first.worker, request.worker) == ("a#1", "a#2")


def test_an_eviction_ends_a_start_that_no_request_waits_for(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}})
    harness.request("a")
    harness.finish_start("a#1")
    harness.call(harness.pool.load_soon, "b")
    harness.loop.advance(1)
    assert harness.pool.queue.count("b") == 1, "it waits for memory"
    harness.call(harness.pool.evict, "b")
    harness.loop.advance(1)
    assert harness.pool.queue.count("b") == 0
    assert harness.states() == {"a#1": State.READY}


def test_an_eviction_during_an_early_start_is_final(make: Make) -> None:
    harness = make({"a": {"needs": 2}})
    harness.call(harness.pool.load_soon, "a")
    harness.loop.advance(1)
    harness.call(harness.pool.evict, "a")
    harness.finish_stop("a#1")
    harness.loop.advance(1)
    assert harness.states() == {}


def test_a_changed_entry_is_preloaded_again(make: Make) -> None:
    harness = make({"a": {"needs": 2, "preload": True}})
    harness.finish_start("a#1")
    changed = model("a", 2 * GIB, {"preload": True, "idle_timeout": 77})
    harness.reload({"a": changed})
    assert harness.states() == {"a#1": State.STOPPING, "a#2": State.STARTING}
    harness.reload({"a": changed})
    assert harness.states() == {"a#1": State.STOPPING, "a#2": State.STARTING}, (
        "a model that is starting is not started twice"
    )


def test_a_failed_replica_refuses_no_request(make: Make) -> None:
    harness = make({"a": {"needs": 2, "replicas": 2}}, max_concurrent_requests=2)
    first = harness.request("a")
    harness.finish_start("a#1")
    harness.request("a")
    third = harness.request("a")  # waits for one of the two requests to finish
    harness.finish_start("a#2", LoadFailure("it does not support this device.", certain=True, exit_code=3))
    assert third.waiting
    first.finish()
    assert third.worker == "a#1"


def test_an_unexpected_error_while_starting_is_a_failed_start(make: Make) -> None:
    harness = make({"a": {"needs": 2}})
    request = harness.request("a")
    harness.lifecycle.starts["a#1"].set_exception(OSError(24, "Too many open files"))
    harness.loop.settle()
    assert isinstance(request.error, LoadFailed)
    assert "Too many open files" in str(request.error)
    harness.finish_stop("a#1")
    harness.loop.advance(2)
    assert harness.request("a").waiting
    assert harness.states() == {"a#2": State.STARTING}


def test_an_unexpected_error_while_stopping_blocks_no_request(make: Make) -> None:
    harness = make({"a": {"needs": 2}, "b": {"needs": 9}})
    request = harness.request("a")
    harness.finish_start("a#1")
    request.finish()
    harness.request("b")
    harness.lifecycle.stops["a#1"].set_exception(OSError(24, "Too many open files"))
    harness.meter.holding.pop("a#1")
    harness.loop.settle()
    harness.loop.advance(1)
    assert harness.states() == {"b#1": State.STARTING}


def test_running_out_of_memory_never_means_never_fits(make: Make) -> None:
    harness = make({"a": {"needs": 6}, "p": {"needs": 1, "pinned": True}}, {"cpu": 10.0001})
    harness.request("p")
    harness.finish_start("p#1")
    for number in range(1, 6):
        request = harness.request("a")
        harness.finish_start(f"a#{number}")
        harness.call(harness.lifecycle.reports[f"a#{number}"], {"event": "out_of_memory"})
        request.finish()
        harness.finish_stop(f"a#{number}")
    assert harness.request("a").waiting
    assert harness.states()["a#6"] is State.STARTING


def test_load_duration_is_recorded(make: Make) -> None:
    harness = make({"counted": {"needs": 2}})
    harness.request("counted")
    harness.loop.advance(3)
    harness.finish_start("counted#1")
    assert REGISTRY.get_sample_value("model_load_duration_seconds_sum", {"model": "counted"}) == 3


def test_a_reload_keeps_a_loaded_models_capabilities(make: Make) -> None:
    harness = make({"a": {"needs": 2}})
    harness.request("a")
    reported = {"features": ["seed"], "tasks": ["chat"], "facts": ModelFacts(context_length=7)}
    vars(harness.supervisor.worker("a#1").process).update(reported)
    harness.finish_start("a#1")
    again = model("a", 2 * GIB, {})
    again.capabilities = replace(again.capabilities, features=("images", "seed"), tasks=("chat", "caption"))
    harness.reload({"a": again})
    offer = harness.pool.models["a"].capabilities
    assert (offer.features, offer.tasks) == (("seed",), ("chat",))
    assert harness.pool.models["a"].facts.context_length == 7


def test_a_model_is_default_only_for_tasks_that_it_does() -> None:
    spec = ModelSpec(id="a", engine="fake", default=("chat", "caption"))
    without_images = Model(spec, Capabilities(("chat",)))
    assert without_images.status(State.READY, 0, 1, (0, True), 0).default == ("chat",)


def test_evict_lets_a_busy_worker_finish(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    request = harness.request("a")
    harness.finish_start("a#1")
    harness.call(harness.pool.evict, "a")
    assert request.in_progress
    assert harness.states() == {"a#1": State.DRAINING}
    request.finish()
    assert harness.states() == {"a#1": State.STOPPING}


def test_a_drain_has_a_bound(make: Make) -> None:
    harness = make({"a": {"needs": 6}, "b": {"needs": 6}}, swap_after=5, drain_timeout=20)
    busy = harness.request("a")
    harness.finish_start("a#1")
    harness.request("b")
    harness.loop.advance(24)
    assert harness.states() == {"a#1": State.DRAINING}
    harness.loop.advance(1)
    assert harness.states() == {"a#1": State.STOPPING}
    worker = harness.supervisor.worker("a#1")
    assert (busy.in_progress, worker.cut_short) == (True, True)
    assert worker.reason == "evicted for b; it was still busy after 20 s"


def test_a_forced_eviction_does_not_wait(make: Make) -> None:
    harness = make({"a": {"needs": 1}})
    harness.request("a")
    harness.finish_start("a#1")
    harness.call(harness.pool.evict, "a")
    harness.call(lambda: harness.pool.evict("a", force=True))
    assert harness.states() == {"a#1": State.STOPPING}
    assert harness.supervisor.worker("a#1").cut_short
