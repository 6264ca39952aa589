"""What a waiting request is said to wait for: memory, a free worker, or a start with an estimate."""

from __future__ import annotations

import pytest

from contract.config import ModelSpec
from contract.status import State
from manager.scheduling.wait_queue import Claim, WaitQueue
from manager.scheduling.wait_report import report, reports
from manager.state.model import Capabilities, Model
from manager.state.process import Placement
from manager.state.worker import Worker


def model(name: str, *load_seconds: float) -> Model:
    made = Model(ModelSpec(id=name, engine="fake"), Capabilities())
    made.load_seconds.extend(load_seconds)
    return made


def worker(of: str, state: State, started: float = 0.0) -> Worker:
    spec = ModelSpec(id=of, engine="fake")
    return Worker(of, 1, spec, Placement(), 0, 60, state=state, started=started)


@pytest.mark.parametrize(
    ("loads", "workers", "message"),
    [
        ([], [], "waiting for memory for b, behind 2 others"),
        ([], [worker("a", State.READY)], "waiting for memory for b, behind 2 others"),
        ([], [worker("b", State.READY)], "waiting until b is free, behind 2 others"),
        ([], [worker("b", State.STARTING)], "loading b for the first time"),
        ([30, 40, 50], [worker("b", State.STARTING)], "loading b, about 30 s left by its last 3 starts"),
        ([7, 30, 40, 50], [worker("b", State.STARTING)], "loading b, about 30 s left by its last 3 starts"),
        ([12], [worker("b", State.STARTING)], "loading b, about 2 s left by its last start"),
        ([9], [worker("b", State.STARTING)], "loading b, longer than its last start took"),
    ],
)
async def test_says_what_a_request_waits_for(loads: list[float], workers: list[Worker], message: str) -> None:
    models, queue = {"a": model("a"), "b": model("b", *loads)}, WaitQueue()
    for name, id_ in (("a", "first"), ("b", "second"), ("b", "third")):
        queue.append(models[name], 60, Claim(id_))
    since = next(iter(queue)).since
    said = report("third", queue, models, workers, now=10)
    assert (said["model"], said["ahead"], said["message"]) == ("b", 2, message)
    assert said["waited"] == pytest.approx(10 - since, abs=0.1)
    assert report("first", queue, models, [], now=10)["message"] == "waiting for memory for a"


async def test_reports_only_the_requests_that_are_asked_for() -> None:
    models, queue = {"a": model("a")}, WaitQueue()
    for id_ in ("first", "second", "third", "fourth"):
        queue.append(models["a"], 60, Claim(id_))
    said = reports(queue, models, [], now=10, only={"fourth", "second", "unknown"})
    assert [(wait["request"], wait["ahead"]) for wait in said] == [("second", 1), ("fourth", 3)]
    assert len(reports(queue, models, [], now=10)) == 4


async def test_request_that_does_not_wait_has_no_report() -> None:
    assert report("x", WaitQueue(), {}, [], now=0) is None
