"""Serving requests: each row is a situation, and what the plan does about it by rules 1 and 2 of `plan.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manager.scheduling.plan import Plan, expired
from manager.scheduling.views import Candidate, ModelView, Snapshot, WorkerView
from tests.support.plan_table import (
    NOW,
    busy,
    decisions,
    draining,
    model,
    pinned,
    row,
    starting,
    stopping,
    waiting,
    worker,
)

RULE_1 = [
    row("a ready worker is leased", ["grant 0: a#1"], waiting("a"), worker("a#1")),
    row(
        "the least loaded worker is chosen",
        ["grant 0: a#2"],
        waiting("a"),
        worker("a#1", leases=2),
        worker("a#2", leases=1),
    ),
    row(
        "equally loaded: the least recently used",
        ["grant 0: a#2"],
        waiting("a"),
        worker("a#1", last_used=9),
        worker("a#2", last_used=8),
    ),
    row("all equal: by name", ["grant 0: a#1"], waiting("a"), worker("a#2"), worker("a#1")),
    row(
        "grants of the same plan count as load",
        ["grant 0: a#1", "grant 1: a#2", "grant 2: a#1"],
        waiting("a", "a", "a"),
        worker("a#1", last_used=1),
        worker("a#2", last_used=2),
    ),
    row(
        "the oldest request gets the last lease",
        ["grant 0: b#1"],
        waiting("b", "a"),
        worker("a#1"),
        worker("b#1"),
        max_leases=1,
    ),
    row(
        "leases of draining workers count towards the limit",
        [],
        waiting("a"),
        worker("a#1"),
        draining("b#1", resumable=False),
        max_leases=1,
    ),
    row("at the limit, no worker starts or stops", [], waiting("a"), busy("a#1"), worker("b#1"), max_leases=1),
    row("a starting worker is waited for", [], waiting("a"), starting("a#1")),
    row(
        "a ready worker is leased even while its model backs off",
        ["grant 0: a#1"],
        waiting("a"),
        worker("a#1"),
        models=[model("a", retry_at=200)],
    ),
]

RULE_2 = [
    row("a model that fits is started", ["start a on gpu with 4"], waiting("a")),
    row("it may use all memory", ["start a on gpu with 10"], waiting("a"), models=[model("a", 10)]),
    row("one start serves all requests for a model", ["start a on gpu with 4"], waiting("a", "a", "a")),
    row("several models may start at once", ["start b on gpu with 4", "start a on gpu with 4"], waiting("b", "a")),
    row(
        "the oldest request's model starts first",
        ["start b on gpu with 4", "wake at 105"],
        waiting("b", "a"),
        budget={"gpu": 5},
    ),
    row(
        "a younger request may use memory that is too little for an older one",
        ["start a on gpu with 4", "wake at 105"],
        waiting("b", "a"),
        busy("c#1", size=2),
        models=[model("b", 9)],
    ),
    row(
        "a draining worker of the same model is not waited for",
        ["start a on gpu with 4"],
        waiting("a"),
        draining("a#1", resumable=False),
    ),
    row("a stopping worker's memory is not free yet", ["wake at 105"], waiting("a"), stopping("a#1", size=8)),
    row(
        "the device with the most free memory is chosen",
        ["start a on gpu2 with 4"],
        waiting("a"),
        models=[model("a", on=("gpu", "gpu2"))],
        budget={"gpu": 10, "gpu2": 12},
    ),
    row(
        "of several devices, the one with the least free memory counts",
        ["start a on gpu2 with 4"],
        waiting("a"),
        models=[ModelView("a", (Candidate(("gpu", "tight"), 4, True), Candidate(("gpu2",), 4, True)))],
        budget={"gpu": 99, "tight": 5, "gpu2": 10},
    ),
    row(
        "equally free: the first device",
        ["start a on gpu with 4"],
        waiting("a"),
        models=[model("a", on=("gpu", "gpu2"))],
        budget={"gpu": 10, "gpu2": 10},
    ),
    row(
        "starts of the same plan count as used",
        ["start a on gpu with 4", "start b on gpu2 with 4"],
        waiting("a", "b"),
        models=[model("a", on=("gpu", "gpu2")), model("b", on=("gpu", "gpu2"))],
        budget={"gpu": 10, "gpu2": 10},
    ),
    row(
        "a model on two devices needs room on both",
        ["wake at 105"],
        waiting("a"),
        busy("b#1", size=8, devices=("gpu2",)),
        models=[ModelView("a", (Candidate(("gpu", "gpu2"), 4, True),))],
        budget={"gpu": 10, "gpu2": 10},
    ),
    row(
        "a model on two devices must be able to fit on both",
        ["refuse a: never fits"],
        waiting("a"),
        models=[ModelView("a", (Candidate(("gpu", "small"), 8, True),))],
        budget={"gpu": 10, "small": 5},
    ),
    row(
        "a guess larger than the device takes what can be freed",
        ["start a on gpu with 10"],
        waiting("a"),
        models=[model("a", 99, certain=False)],
    ),
    row(
        "a guess does not count on pinned workers' memory",
        ["start a on gpu with 6"],
        waiting("a"),
        pinned("p#1"),
        models=[model("a", 99, certain=False)],
    ),
    row(
        "a guess starts even where nothing can be freed",
        ["start a on gpu with 1"],
        waiting("a"),
        pinned("p#1", size=9),
        models=[model("a", 9, certain=False)],
    ),
    row(
        "a measured model larger than the device is refused",
        ["refuse a: never fits"],
        waiting("a"),
        models=[model("a", 11)],
    ),
    row(
        "a measured model that never fits beside pinned workers is refused",
        ["refuse a: never fits"],
        waiting("a"),
        pinned("p#1"),
        models=[model("a", 7)],
    ),
    row(
        "a measured model waits for a pinned worker that is leaving",
        ["wake at 105"],
        waiting("a"),
        stopping("p#1", size=4, evictable=False),
        models=[model("a", 7)],
    ),
    row(
        "a guess waits for the memory of a pinned worker that is leaving",
        ["wake at 105"],
        waiting("a"),
        stopping("p#1", size=4, evictable=False),
        models=[model("a", 9, certain=False)],
    ),
    row(
        "a guess is refused where the settings leave no memory",
        ["refuse a: never fits"],
        waiting("a"),
        models=[model("a", 1, certain=False)],
        budget={"gpu": 0},
    ),
    row(
        "memory used by other programs may come back",
        ["wake at 105"],
        waiting("a"),
        models=[model("a", 8)],
        budget={"gpu": 5},
        largest_budget={"gpu": 10},
    ),
    row("a model without a device is refused", ["refuse a: never fits"], waiting("a"), models=[ModelView("a", ())]),
    row(
        "a device that is too small is not considered",
        ["start a on gpu with 8"],
        waiting("a"),
        models=[model("a", 8, on=("gpu", "small"))],
        budget={"gpu": 10, "small": 5},
    ),
    row(
        "a model that backs off is refused",
        ["refuse a: backing off"],
        waiting("a"),
        models=[model("a", retry_at=100.1)],
    ),
    row(
        "after its backoff it starts again", ["start a on gpu with 4"], waiting("a"), models=[model("a", retry_at=100)]
    ),
]


@pytest.mark.parametrize(("snapshot", "expected"), RULE_1)
def test_rule_1_grants_ready_workers(snapshot: Snapshot, expected: list[str]) -> None:
    assert decisions(snapshot) == expected


@pytest.mark.parametrize(("snapshot", "expected"), RULE_2)
def test_rule_2_starts_what_fits(snapshot: Snapshot, expected: list[str]) -> None:
    assert decisions(snapshot) == expected


@pytest.mark.parametrize(
    ("workers", "over", "next_expiry"),
    [
        pytest.param([worker("a#1", expires=100)], ["a#1"], None, id="its timeout has just passed"),
        pytest.param([worker("a#1", expires=101)], [], 101, id="not yet"),
        pytest.param([worker("a#1", expires=99), worker("b#1", expires=103)], ["a#1"], 103, id="the next one's time"),
        pytest.param([worker("a#1", expires=103), worker("b#1", expires=102)], [], 102, id="the earliest time"),
        pytest.param([worker("a#1", expires=None)], [], None, id="it never expires"),
        pytest.param([busy("a#1", expires=90)], [], None, id="a busy worker does not expire"),
        pytest.param([starting("a#1", expires=90)], [], None, id="nor does one that is starting"),
        pytest.param([worker("wanted#1", expires=90)], [], None, id="nor one that requests wait for"),
    ],
)
def test_idle_workers_expire(workers: list[WorkerView], over: list[str], next_expiry: float | None) -> None:
    assert expired(workers, {"wanted"}, NOW) == (over, next_expiry)


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        ({"grants": [(0, "a#1")]}, False),
        ({"backing_off": ["a"]}, False),
        ({"wake_at": 105.0}, False),
        ({"starts": [("a", Candidate(("gpu",), 4))]}, True),
        ({"stops": [("a#1", "")]}, True),
        ({"drains": [("a#1", "")]}, True),
        ({"resumes": ["a#1"]}, True),
        ({"never_fits": ["a"]}, True),
    ],
)
def test_plans_about_memory_need_a_fresh_sample(change: dict[str, Any], needed: bool) -> None:
    assert replace(Plan(), **change).needs_fresh_memory is needed
