"""The pool where things come together badly: what must never starve, stick or be mistaken for something else."""

from __future__ import annotations

from contract.status import State
from tests.manager.conftest import Make


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
