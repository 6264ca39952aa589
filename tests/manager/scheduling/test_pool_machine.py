"""No order of arriving, leaving, crashing, idling, evicting and reloading breaks the pool (property-based)."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contract.errors import ServeError
from contract.status import State
from manager.processes.launchers import LoadFailure
from manager.state.model import Model
from tests.support.virtual_clock import Ask, Bench

MODELS: dict[str, dict[str, Any]] = {
    "small": {"needs": 2},
    "middle": {"needs": 5},
    "large": {"needs": 9},
    "twin": {"needs": 3, "replicas": 2},
    "pin": {"needs": 1, "pinned": True},
}
BUDGET = 10
NAMES = st.sampled_from(sorted(MODELS))
PICK = st.integers(min_value=0, max_value=50)


class Errors(logging.Handler):
    """Illegal moves and failing tasks of the roster end up in the log: here they end up in the test."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(f"{record.getMessage()}: {record.exc_info}")


class PoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.errors = Errors()
        logging.getLogger("manager").addHandler(self.errors)
        specs = {name: dict(spec) for name, spec in MODELS.items()}
        self.bench = Bench(self.home, specs, {"cpu": BUDGET}, swap_after=5, max_wait=200, max_concurrent_requests=6)
        self.asks: list[Ask] = []

    def pick(self, asks: list[Ask], index: int) -> Ask:
        return asks[index % len(asks)]

    @rule(name=NAMES, keep_alive=st.sampled_from([None, None, 0, 3, -1]))
    def arrive(self, name: str, keep_alive: float | None) -> None:
        self.asks.append(self.bench.ask(name, keep_alive=keep_alive))

    @precondition(lambda self: any(ask.waits for ask in self.asks))
    @rule(index=PICK)
    def leave_while_waiting(self, index: int) -> None:
        self.pick([ask for ask in self.asks if ask.waits], index).leave()

    @precondition(lambda self: any(ask.holds for ask in self.asks))
    @rule(index=PICK, politely=st.booleans())
    def finish_or_leave(self, index: int, politely: bool) -> None:
        ask = self.pick([ask for ask in self.asks if ask.holds], index)
        if politely:
            ask.finish()
        else:
            ask.leave()

    @precondition(lambda self: self.bench.life.starts)
    @rule(index=PICK, how=st.sampled_from(["ready", "ready", "ready", "fails", "killed", "memory"]))
    def start_ends(self, index: int, how: str) -> None:
        names = sorted(self.bench.life.starts)
        failures = {
            "fails": LoadFailure("it is broken.", certain=True, exit_code=3),
            "killed": LoadFailure("killed.", exit_code=-9),
            "memory": LoadFailure("no memory.", certain=True, out_of_memory=True, exit_code=3),
        }
        self.bench.started(names[index % len(names)], failures.get(how))

    @precondition(lambda self: self.bench.life.stops)
    @rule(index=PICK)
    def stop_ends(self, index: int) -> None:
        names = sorted(self.bench.life.stops)
        self.bench.stopped(names[index % len(names)])

    @precondition(lambda self: any(w.state is State.READY for w in self.bench.roster.workers))
    @rule(index=PICK)
    def crash(self, index: int) -> None:
        ready = [worker for worker in self.bench.roster.workers if worker.state is State.READY]
        worker = ready[index % len(ready)]
        self.bench.crash(worker.name)
        for ask in [ask for ask in self.asks if ask.holds and ask.worker == worker.name]:
            ask.finish()  # its connection broke

    @rule(seconds=st.sampled_from([0.5, 2, 6, 61]))
    def time_passes(self, seconds: float) -> None:
        self.bench.loop.advance(seconds)

    @rule(name=NAMES)
    def evict(self, name: str) -> None:
        self.bench.do(self.bench.pool.evict, name)

    @rule(name=NAMES, timeout=st.integers(1, 50))
    def reload(self, name: str, timeout: int) -> None:
        models = dict(self.bench.pool.models)
        old = models[name]
        models[name] = Model(old.spec.model_copy(update={"idle_timeout": float(timeout)}), old.offer)
        self.bench.do(self.bench.pool.reload, self.bench.settings, models)

    @invariant()
    def no_illegal_state(self) -> None:
        assert not self.errors.seen
        for worker in self.bench.roster.workers:
            assert worker.leases >= 0
            assert not worker.leases or worker.state in {State.READY, State.DRAINING, State.STOPPING}

    @invariant()
    def leases_are_what_requests_hold(self) -> None:
        held = sum(ask.holds for ask in self.asks)
        assert held == sum(worker.leases for worker in self.bench.roster.workers)
        assert held <= self.bench.settings.resources.max_concurrent_requests

    @invariant()
    def the_budget_is_never_overrun(self) -> None:
        assert sum(worker.held for worker in self.bench.roster.workers) <= BUDGET * 2**30

    @invariant()
    def starts_are_single(self) -> None:
        for name, spec in MODELS.items():
            current = self.bench.pool.models[name].spec
            up = [w for w in self.bench.roster.of(name) if w.state in {State.STARTING, State.READY}]
            assert sum(worker.spec is current for worker in up) <= spec.get("replicas", 1)

    def teardown(self) -> None:
        """Whatever happened: when work goes on as it should, everybody who waits is served or told why not."""
        bench = self.bench
        for _ in range(150):
            waiting = [ask for ask in self.asks if ask.waits]
            if not waiting:
                break
            for ask in [ask for ask in self.asks if ask.holds]:
                ask.finish()
            for name in sorted(bench.life.starts):
                bench.started(name)
            for name in sorted(bench.life.stops):
                bench.stopped(name)
            bench.loop.advance(1)
        starved = [ask.model for ask in self.asks if ask.waits]
        late = [ask.error for ask in self.asks if ask.error and not isinstance(ask.error, ServeError)]
        bench.close()
        logging.getLogger("manager").removeHandler(self.errors)
        shutil.rmtree(self.home)
        assert not starved
        assert not late
        assert not self.errors.seen


PoolMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestPool = PoolMachine.TestCase
