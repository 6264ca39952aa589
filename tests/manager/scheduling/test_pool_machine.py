"""Property-based: no order of requests, disconnects, crashes, evictions and reloads breaks the scheduler."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contract.errors import ServeError
from contract.status import State
from manager.scheduling.wait_queue import Claim
from manager.state.model import Model
from manager.state.process import LoadFailure
from tests.support.virtual_clock import FakeRequest, Harness

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


class LoggedErrors(logging.Handler):
    """Collects errors in the log, such as illegal transitions and failed background tasks, so that the test fails."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(f"{record.getMessage()}: {record.exc_info}")


class PoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.errors = LoggedErrors()
        logging.getLogger("manager").addHandler(self.errors)
        specs = {name: dict(spec) for name, spec in MODELS.items()}
        self.harness = Harness(
            self.home, specs, {"cpu": BUDGET}, swap_after=5, max_wait=200, job_max_wait=50, max_concurrent_requests=6
        )
        self.requests: list[FakeRequest] = []
        self.set_aside: dict[str, int] = {}  # bytes, by worker, when it was started

    def pick(self, requests: list[FakeRequest], index: int) -> FakeRequest:
        return requests[index % len(requests)]

    @rule(name=NAMES, keep_alive=st.sampled_from([None, None, 0, 3, -1]), job=st.sampled_from([None, None, 0, 5]))
    def arrive(self, name: str, keep_alive: float | None, job: int | None) -> None:
        self.requests.append(self.harness.request(name, keep_alive=keep_alive, claim=Claim(job=job)))

    @precondition(lambda self: any(request.waiting for request in self.requests))
    @rule(index=PICK)
    def disconnect_while_waiting(self, index: int) -> None:
        self.pick([request for request in self.requests if request.waiting], index).disconnect()

    @precondition(lambda self: any(request.in_progress for request in self.requests))
    @rule(index=PICK, completes=st.booleans())
    def request_ends(self, index: int, completes: bool) -> None:
        request = self.pick([request for request in self.requests if request.in_progress], index)
        if completes:
            request.finish()
        else:
            request.disconnect()

    @precondition(lambda self: self.harness.lifecycle.starts)
    @rule(index=PICK, outcome=st.sampled_from(["ready", "ready", "ready", "fails", "killed", "memory"]))
    def start_ends(self, index: int, outcome: str) -> None:
        names = sorted(self.harness.lifecycle.starts)
        failures = {
            "fails": LoadFailure("it is broken.", certain=True, exit_code=3),
            "killed": LoadFailure("killed.", exit_code=-9),
            "memory": LoadFailure("no memory.", certain=True, out_of_memory=True, exit_code=3),
        }
        self.harness.finish_start(names[index % len(names)], failures.get(outcome))

    @precondition(lambda self: self.harness.lifecycle.stops)
    @rule(index=PICK)
    def stop_ends(self, index: int) -> None:
        names = sorted(self.harness.lifecycle.stops)
        name = names[index % len(names)]
        for request in [request for request in self.requests if request.in_progress and request.worker == name]:
            request.finish()  # it was stopped by force: its connections break
        self.harness.finish_stop(name)

    @precondition(lambda self: any(w.state is State.READY for w in self.harness.supervisor.workers))
    @rule(index=PICK)
    def crash(self, index: int) -> None:
        ready = [worker for worker in self.harness.supervisor.workers if worker.state is State.READY]
        worker = ready[index % len(ready)]
        self.harness.crash(worker.name)
        for request in [request for request in self.requests if request.in_progress and request.worker == worker.name]:
            request.finish()  # its connection breaks

    @rule(seconds=st.sampled_from([0.5, 2, 6, 61]))
    def time_passes(self, seconds: float) -> None:
        self.harness.loop.advance(seconds)

    @rule(name=NAMES, force=st.booleans())
    def evict(self, name: str, force: bool) -> None:
        self.harness.call(lambda: self.harness.pool.evict(name, force=force))

    @rule(name=NAMES, timeout=st.integers(1, 50))
    def reload(self, name: str, timeout: int) -> None:
        models = dict(self.harness.pool.models)
        old = models[name]
        models[name] = Model(old.spec.model_copy(update={"idle_timeout": float(timeout)}), old.capabilities)
        self.harness.reload(models)

    @invariant()
    def no_error_and_no_illegal_state(self) -> None:
        assert not self.errors.messages
        for worker in self.harness.supervisor.workers:
            assert 0 <= worker.job_leases <= worker.leases
            assert not worker.leases or worker.state in {State.READY, State.DRAINING, State.STOPPING}

    @invariant()
    def leases_match_requests(self) -> None:
        held = sum(request.in_progress for request in self.requests)
        assert held == sum(worker.leases for worker in self.harness.supervisor.workers)
        assert held <= self.harness.settings.resources.max_concurrent_requests

    @invariant()
    def the_budget_is_never_exceeded(self) -> None:
        """What a worker is seen to need once it is ready may be more, but then nothing was started on it."""
        workers = self.harness.supervisor.workers
        for worker in workers:
            self.set_aside.setdefault(worker.name, worker.committed)
        assert sum(self.set_aside[worker.name] for worker in workers) <= BUDGET * 2**30

    @invariant()
    def no_more_workers_than_replicas(self) -> None:
        for name, spec in MODELS.items():
            current = self.harness.pool.models[name].spec
            up = [w for w in self.harness.supervisor.workers_of(name) if w.state in {State.STARTING, State.READY}]
            assert sum(worker.spec is current for worker in up) <= spec.get("replicas", 1)

    def teardown(self) -> None:
        """Once everything works normally again, every waiting request is served or refused with an error."""
        harness = self.harness
        for _ in range(250):
            waiting = [request for request in self.requests if request.waiting]
            if not waiting:
                break
            for request in [request for request in self.requests if request.in_progress]:
                request.finish()
            for name in sorted(harness.lifecycle.starts):
                if name in harness.lifecycle.starts:  # the one before may have made this one be given up
                    harness.finish_start(name)
            for name in sorted(harness.lifecycle.stops):
                harness.finish_stop(name)
            harness.loop.advance(1)
        starved = [request.model for request in self.requests if request.waiting]
        unexpected = [
            request.error for request in self.requests if request.error and not isinstance(request.error, ServeError)
        ]
        harness.close()
        logging.getLogger("manager").removeHandler(self.errors)
        shutil.rmtree(self.home)
        assert not starved
        assert not unexpected
        assert not self.errors.messages


class TestPool(PoolMachine.TestCase):
    settings = settings(max_examples=40, stateful_step_count=40, suppress_health_check=list(HealthCheck))


@pytest.mark.e2e
@pytest.mark.timeout(900)
class TestPoolForLong(PoolMachine.TestCase):
    settings = settings(max_examples=1000, stateful_step_count=60, suppress_health_check=list(HealthCheck))
