"""Jobs yield: each row is a situation, and what the plan does about it by rule 6 of `plan.py`. A job waits 600 s."""

from __future__ import annotations

import pytest

from manager.scheduling.views import Snapshot
from tests.support.plan_table import NOW, busy, decisions, jobs, model, row, starting, waiting, worker

JOB_BUSY = {"leases": 1, "job_leases": 1}

RULE_6 = [
    row("free memory is a job's too", ["start a on gpu with 4"], jobs("a")),
    row("a ready worker is a job's too", ["grant 0: a#1"], jobs("a"), worker("a#1")),
    row(
        "others come first",
        ["grant 2: a#1", "grant 0: a#1"],
        [*jobs("a", "a"), *waiting("x", "x", "a")[2:]],
        busy("a#1"),
        max_leases=3,
    ),
    row(
        "jobs come by priority",
        ["grant 1: a#1", "grant 0: a#1", "grant 2: a#1"],
        jobs(("a", 9), ("a", 0, 5), ("a", 0, -5)),
        worker("a#1"),
    ),
    row(
        "an idle worker that was used lately stays",
        ["wake at 130"],
        jobs("a"),
        worker("b#1", size=8, guarded_until=NOW + 30),
    ),
    row(
        "one that was not goes",
        ["stop b#1, evicted for a", "wake at 700"],
        jobs("a"),
        worker("b#1", size=8, guarded_until=NOW),
    ),
    row("a busy worker stays", ["wake at 640"], jobs(("a", 60)), busy("b#1", size=8)),
    row("one that other jobs use stays", ["wake at 640"], jobs(("a", 60)), worker("b#1", size=8, **JOB_BUSY)),
    row(
        "one that other jobs wait for stays",
        ["grant 1: b#1", "wake at 640"],
        jobs(("a", 60), "b"),
        worker("b#1", size=8),
    ),
    row(
        "after the longest wait it counts as any other request",
        ["drain b#1, evicted for a"],
        jobs(("a", 600)),
        busy("b#1", size=8),
    ),
    row(
        "what only jobs use is drained for others at once",
        ["drain b#1, evicted for a", "wake at 105"],
        waiting("a"),
        worker("b#1", size=8, **JOB_BUSY),
    ),
    row(
        "a start for jobs is given up for others",
        ["stop b#1, evicted for a", "wake at 105"],
        [*waiting("a"), *jobs("b", after=1)],
        starting("b#1", size=8),
    ),
    row(
        "an idle worker goes before one that jobs use",
        ["stop c#1, evicted for a", "wake at 105"],
        waiting("a"),
        worker("b#1", size=5, **JOB_BUSY),
        worker("c#1", size=5, last_used=50),
    ),
    row(
        "a worker that both use is busy",
        ["wake at 105"],
        waiting("a"),
        worker("b#1", size=8, leases=2, job_leases=1),
    ),
    row(
        "memory that another request waits for is not a job's",
        ["stop b#1, evicted for big", "wake at 105"],
        [*jobs("a"), *waiting("x", "big")[1:]],
        worker("b#1", size=5),
        models=[model("big", 9), model("x")],
    ),
]


@pytest.mark.parametrize(("snapshot", "expected"), RULE_6)
def test_jobs_yield_to_other_requests(snapshot: Snapshot, expected: list[str]) -> None:
    assert decisions(snapshot) == expected
