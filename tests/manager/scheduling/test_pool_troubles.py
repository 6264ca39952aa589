"""The pool where things come together badly: what must never starve, stick or be mistaken for something else."""

from __future__ import annotations

from dataclasses import replace

from contract.asgi.metrics import REGISTRY
from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.status import State
from manager.memory import GIB
from manager.processes.launchers import LoadFailure
from manager.state.model import EngineOffer, Model
from tests.manager.conftest import Make
from tests.support.virtual_clock import model


def test_starts_of_others_in_turn_do_not_starve_the_oldest(make: Make) -> None:
    bench = make({"big": {"needs": 10}} | {name: {"needs": 4} for name in "abc"}, swap_after=5)
    serving = bench.ask("a")
    bench.started("a#1")
    starting = bench.ask("b")
    big = bench.ask("big")
    bench.loop.advance(6)  # there is always one that starts: it cannot be drained, and yet big's turn has come
    serving.finish()
    younger = bench.ask("c")
    assert bench.states() == {"a#1": State.READY, "b#1": State.STARTING}, "c must not take big's memory"
    bench.started("b#1")
    assert starting.holds
    assert bench.states() == {"a#1": State.STOPPING, "b#1": State.DRAINING}
    starting.finish()
    for name in ("a#1", "b#1"):
        bench.stopped(name)
    bench.started("big#1")
    assert big.holds
    assert younger.waits


def test_a_model_that_comes_back_gets_no_name_that_is_in_use(make: Make) -> None:
    bench = make({"a": {"needs": 2}})
    long = bench.ask("a")
    bench.started("a#1")
    bench.do(bench.pool.reload, bench.settings, {})
    bench.do(bench.pool.reload, bench.settings, {"a": model("a", 2 * GIB, {})})
    ask = bench.ask("a")
    assert bench.states() == {"a#1": State.DRAINING, "a#2": State.STARTING}
    bench.started("a#2")
    assert (long.worker, ask.worker) == ("a#1", "a#2")


def test_a_changed_entry_is_preloaded_again(make: Make) -> None:
    bench = make({"a": {"needs": 2, "preload": True}})
    bench.started("a#1")
    changed = model("a", 2 * GIB, {"preload": True, "idle_timeout": 77})
    bench.do(bench.pool.reload, bench.settings, {"a": changed})
    assert bench.states() == {"a#1": State.STOPPING, "a#2": State.STARTING}
    bench.do(bench.pool.reload, bench.settings, {"a": changed})
    assert bench.states() == {"a#1": State.STOPPING, "a#2": State.STARTING}, "what starts is not started twice"


def test_a_replica_that_cannot_start_refuses_nobody_whom_the_other_will_serve(make: Make) -> None:
    bench = make({"a": {"needs": 2, "replicas": 2}}, max_concurrent_requests=2)
    first = bench.ask("a")
    bench.started("a#1")
    bench.ask("a")
    third = bench.ask("a")  # waits for one of the two to finish
    bench.started("a#2", LoadFailure("it does not like this device.", certain=True, exit_code=3))
    assert third.waits
    first.finish()
    assert third.worker == "a#1"


def test_a_start_that_breaks_in_an_unforeseen_way_is_a_failed_start(make: Make) -> None:
    bench = make({"a": {"needs": 2}})
    ask = bench.ask("a")
    bench.life.starts["a#1"].set_exception(OSError(24, "Too many open files"))
    bench.loop.settle()
    assert isinstance(ask.error, LoadFailed)
    assert "Too many open files" in str(ask.error)
    bench.stopped("a#1")
    bench.loop.advance(2)
    assert bench.ask("a").waits
    assert bench.states() == {"a#2": State.STARTING}


def test_a_stop_that_breaks_in_an_unforeseen_way_blocks_nobody(make: Make) -> None:
    bench = make({"a": {"needs": 2}, "b": {"needs": 9}})
    ask = bench.ask("a")
    bench.started("a#1")
    ask.finish()
    bench.ask("b")
    bench.life.stops["a#1"].set_exception(OSError(24, "Too many open files"))
    bench.meter.holding.pop("a#1")
    bench.loop.settle()
    bench.loop.advance(1)
    assert bench.states() == {"b#1": State.STARTING}


def test_running_out_of_memory_again_and_again_never_means_never_fits(make: Make) -> None:
    bench = make({"a": {"needs": 6}, "p": {"needs": 1, "pinned": True}}, {"cpu": 10.0001})
    bench.ask("p")
    bench.started("p#1")
    for number in range(1, 6):
        ask = bench.ask("a")
        bench.started(f"a#{number}")
        bench.do(bench.life.reports[f"a#{number}"], {"event": "out_of_memory"})
        ask.finish()
        bench.stopped(f"a#{number}")
    assert bench.ask("a").waits
    assert bench.states()["a#6"] is State.STARTING


def test_the_time_that_a_start_took_is_counted(make: Make) -> None:
    bench = make({"counted": {"needs": 2}})
    bench.ask("counted")
    bench.loop.advance(3)
    bench.started("counted#1")
    assert REGISTRY.get_sample_value("model_load_duration_seconds_sum", {"model": "counted"}) == 3


def test_a_reload_keeps_what_a_loaded_model_said_that_it_can_do(make: Make) -> None:
    bench = make({"a": {"needs": 2}})
    bench.ask("a")
    said = {"features": ["seed"], "tasks": ["chat"]}
    vars(bench.roster.named("a#1").process).update(said)
    bench.started("a#1")
    again = model("a", 2 * GIB, {})
    again.offer = replace(again.offer, features=("images", "seed"), tasks=("chat", "caption"))
    bench.do(bench.pool.reload, bench.settings, {"a": again})
    offer = bench.pool.models["a"].offer
    assert (offer.features, offer.tasks) == (("seed",), ("chat",))


def test_a_model_is_the_default_only_for_what_it_turned_out_to_do() -> None:
    spec = ModelSpec(id="a", engine="fake", default=("chat", "caption"))
    blind = Model(spec, EngineOffer(("chat",)))
    assert blind.status(State.READY, 0, 1, (0, True)).default == ("chat",)
