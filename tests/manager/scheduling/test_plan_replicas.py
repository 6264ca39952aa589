"""Replicas: each row is a situation, and what the plan does about it by rule 5 of `plan.py`."""

from __future__ import annotations

import pytest

from manager.scheduling.views import Snapshot
from tests.support.plan_table import busy, decisions, draining, model, row, starting, waiting, worker

TWICE = model("a", replicas=2)
RULE_5 = [
    row(
        "a model whose workers are all busy gets a replica",
        ["grant 0: a#1", "start a on gpu with 4"],
        waiting("a"),
        busy("a#1"),
        models=[TWICE],
    ),
    row(
        "the worker that this plan makes busy counts as busy",
        ["grant 0: a#1", "start a on gpu with 4"],
        waiting("a"),
        worker("a#1"),
        models=[TWICE],
    ),
    row(
        "while one is idle, none is added",
        ["grant 0: a#1"],
        waiting("a"),
        worker("a#1"),
        worker("a#2"),
        models=[model("a", replicas=3)],
        budget={"gpu": 99},
    ),
    row(
        "while one is starting, none is added",
        ["grant 0: a#1"],
        waiting("a"),
        busy("a#1"),
        starting("a#2"),
        models=[model("a", replicas=3)],
        budget={"gpu": 99},
    ),
    row(
        "there are never more than `replicas`",
        ["grant 0: a#1"],
        waiting("a"),
        busy("a#1"),
        busy("a#2"),
        models=[TWICE],
        budget={"gpu": 99},
    ),
    row(
        "draining workers do not count as replicas",
        ["grant 0: a#1", "start a on gpu with 4"],
        waiting("a"),
        busy("a#1"),
        draining("a#2", resumable=False),
        models=[TWICE],
        budget={"gpu": 99},
    ),
    row(
        "no worker is evicted for a replica", ["grant 0: a#1"], waiting("a"), busy("a#1"), worker("b#1"), models=[TWICE]
    ),
    row(
        "a replica takes no memory from a request without a worker",
        ["grant 0: a#1", "start b on gpu with 6"],
        waiting("a", "b"),
        busy("a#1", size=2),
        models=[model("a", replicas=2), model("b", 6)],
    ),
    row(
        "a replica takes no reserved memory",
        ["grant 0: a#1", "drain c#1, evicted for b"],
        waiting("a", ("b", 5.0)),
        busy("a#1", started=1),
        busy("c#1", size=2),
        models=[TWICE, model("b", 6)],
    ),
    row(
        "a replica goes to a device without one, even if less memory is free there",
        ["grant 0: a#1", "start a on gpu2 with 4"],
        waiting("a"),
        busy("a#1"),
        models=[model("a", on=("gpu", "gpu2"), replicas=2)],
        budget={"gpu": 99, "gpu2": 5},
    ),
    row(
        "a model that backs off gets no replica",
        ["grant 0: a#1"],
        waiting("a"),
        busy("a#1"),
        models=[model("a", replicas=2, retry_at=101)],
    ),
]


@pytest.mark.parametrize(("snapshot", "expected"), RULE_5)
def test_rule_5_adds_replicas(snapshot: Snapshot, expected: list[str]) -> None:
    assert decisions(snapshot) == expected
