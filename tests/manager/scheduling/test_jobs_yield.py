"""Property-based, on a virtual clock: jobs take no model that is in use, and each is served within a bound."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.status import State
from manager.scheduling.wait_queue import Claim
from manager.state.worker import Worker
from tests.manager.conftest import Make
from tests.support.virtual_clock import FakeRequest, Harness

JOB = Claim(job=0)
JOB_MAX_WAIT = 100
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("visit"), st.sampled_from("abc")),
        st.tuples(st.just("use"), st.sampled_from("abc")),
        st.tuples(st.just("job"), st.sampled_from("abc")),
        st.tuples(st.just("finish"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.sampled_from([1, 7, 30, 65, 101])),
    ),
    min_size=4,
    max_size=30,
)


def working(harness: Harness) -> None:
    """Let starts and stops end."""
    for name in list(harness.lifecycle.starts):
        harness.finish_start(name)
    for name in list(harness.lifecycle.stops):
        for request in [r for r in harness.requests if r.in_progress and r.worker == name]:
            request.finish()
        harness.finish_stop(name)


def is_in_use(worker: Worker, now: float) -> bool:
    """Whether a request that is no job's uses the worker, or did so within the idle timeout."""
    return worker.leases > worker.job_leases or worker.guarded_until > now


class Watch:
    """Checks each eviction when it is first seen."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.seen: set[str] = set()

    def check(self) -> None:
        now = self.harness.loop.time()
        for worker in self.harness.supervisor.workers:
            if worker.state not in {State.DRAINING, State.STOPPING} or worker.name in self.seen:
                continue
            self.seen.add(worker.name)
            _, evicted, model = worker.reason.partition("evicted for ")
            if evicted and is_in_use(worker, now):
                waiting = [waiter for waiter in self.harness.pool.queue if waiter.model == model]
                assert any(w.claim.job is None or now - w.since >= JOB_MAX_WAIT for w in waiting), worker.name


def carry_out(harness: Harness, steps: list[tuple[str, object]]) -> None:
    watch, requests = Watch(harness), harness.requests
    for kind, value in steps:
        if kind in {"use", "job"}:
            harness.request(str(value), **({"claim": JOB} if kind == "job" else {}))
        elif kind == "visit":
            visit = harness.request(str(value))
            working(harness)
            if visit.in_progress:
                visit.finish()
        elif kind == "finish" and (busy := [request for request in requests if request.in_progress]):
            busy[int(str(value)) % len(busy)].finish()
        elif kind == "wait":
            for _ in range(int(str(value)) * 2):
                harness.loop.advance(0.5)
                watch.check()
                working(harness)
        watch.check()
        working(harness)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_jobs_take_no_model_that_is_in_use(steps: list[tuple[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        specs = {name: {"needs": 6} for name in "abc"}
        harness = Harness(Path(folder), specs, {"cpu": 10}, swap_after=5, job_max_wait=JOB_MAX_WAIT, max_wait=10_000)
        carry_out(harness, steps)
        waiting = [request for request in harness.requests if request.waiting]
        for _ in range(2 * (JOB_MAX_WAIT + 60)):
            if not any(request.waiting for request in waiting):
                break
            for request in [request for request in harness.requests if request.in_progress]:
                request.finish()
            working(harness)
            harness.loop.advance(1)
        assert not [request.model for request in waiting if request.waiting]
        harness.close()


def test_job_is_served_in_time_while_another_model_is_used(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}}, job_max_wait=JOB_MAX_WAIT)
    job = harness.request("b", claim=JOB)
    working(harness)
    job.finish()
    harness.request("a")
    working(harness)
    job, seconds = harness.request("b", claim=JOB), 0
    while job.waiting:
        for request in [request for request in harness.requests if request.in_progress]:
            request.finish()
        harness.request("a")
        working(harness)
        harness.loop.advance(1)
        seconds += 1
        assert seconds <= JOB_MAX_WAIT + 10
    assert seconds >= JOB_MAX_WAIT


def test_jobs_of_one_model_run_together(make: Make) -> None:
    harness = make({"a": {"needs": 8}, "b": {"needs": 8}}, job_max_wait=math.inf)
    jobs: list[FakeRequest] = [harness.request(name, claim=JOB) for name in "abababab"]
    while unfinished := [job for job in jobs if not job.task.done()]:
        working(harness)
        next(job for job in unfinished if job.in_progress).finish()
        working(harness)
        harness.loop.advance(1)
    assert [worker.name for worker in harness.supervisor.workers] == ["b#1"], "one swap, and not one for each job"


def test_job_waits_as_long_as_it_takes(make: Make) -> None:
    harness = make({"a": {"needs": 8, "max_queue": 1}, "b": {"needs": 8}}, max_wait=5, job_max_wait=1000)
    harness.request("b")
    working(harness)
    jobs = [harness.request("a", claim=JOB) for _ in range(3)]
    harness.loop.advance(900)
    assert all(job.waiting for job in jobs), "neither the queue's limit nor the longest wait is a job's"
