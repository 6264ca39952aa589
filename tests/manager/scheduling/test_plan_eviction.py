"""Making room: each row is a situation, and what the plan does about it by rules 3 and 4 of `plan.py`."""

from __future__ import annotations

import pytest

from manager.scheduling.views import Snapshot
from tests.support.plan_table import (
    busy,
    decisions,
    draining,
    model,
    pinned,
    row,
    situation,
    starting,
    stopping,
    waiting,
    worker,
)

RULE_3 = [
    row(
        "the least recently used idle worker is stopped",
        ["stop c#1, evicted for a", "wake at 105"],
        waiting("a"),
        worker("b#1", last_used=2),
        worker("c#1", last_used=1),
    ),
    row(
        "equally long unused: by name",
        ["stop b#1, evicted for a", "wake at 105"],
        waiting("a"),
        worker("c#1"),
        worker("b#1"),
    ),
    row(
        "as many as needed are stopped",
        ["stop b#1, evicted for a", "stop c#1, evicted for a", "wake at 105"],
        waiting("a"),
        worker("b#1"),
        worker("c#1"),
        models=[model("a", 8)],
    ),
    row("none is stopped in vain", ["wake at 105"], waiting("a"), worker("b#1"), busy("c#1"), models=[model("a", 8)]),
    row("a pinned worker is never stopped", ["wake at 105"], waiting("a"), pinned("p#1", size=5), busy("b#1")),
    row(
        "a worker that gets a lease in the same plan is not idle",
        ["grant 0: b#1", "stop c#1, evicted for a", "wake at 105"],
        waiting("b", "a"),
        worker("b#1", last_used=0),
        worker("c#1", last_used=1),
    ),
    row(
        "a worker that requests wait for is not idle, though it has no lease",
        ["wake at 105"],
        waiting("b", "a"),
        worker("b#1"),
        busy("c#1"),
        max_leases=1,
    ),
    row(
        "a start that no request waits for counts as idle",
        ["stop b#1, evicted for a", "wake at 105"],
        waiting("a"),
        starting("b#1", size=8),
    ),
    row("memory that is being freed is waited for", ["wake at 105"], waiting("a"), stopping("b#1"), worker("c#1")),
    row(
        "memory that is being freed counts, and only the rest is evicted",
        ["stop c#1, evicted for a", "wake at 105"],
        waiting("a"),
        stopping("b#1"),
        worker("c#1"),
        worker("d#1", size=2),
        models=[model("a", 8)],
    ),
    row(
        "the memory cleared for one request is not promised to the next",
        ["stop b#1, evicted for a", "stop c#1, evicted for d", "wake at 105"],
        waiting("a", "d"),
        worker("b#1", last_used=1),
        worker("c#1", last_used=2),
    ),
    row(
        "the place with the fewest victims is cleared",
        ["stop d#1, evicted for a", "wake at 105"],
        waiting("a"),
        worker("b#1", size=5),
        worker("c#1", size=5),
        worker("d#1", size=10, devices=("gpu2",)),
        models=[model("a", 8, on=("gpu", "gpu2"))],
        budget={"gpu": 10, "gpu2": 10},
    ),
    row(
        "workers on other devices stay",
        ["stop b#1, evicted for a", "wake at 105"],
        waiting("a"),
        worker("b#1", size=8, last_used=2),
        worker("c#1", size=8, last_used=1, devices=("gpu2",)),
        budget={"gpu": 10, "gpu2": 10},
    ),
    row(
        "the earliest swap of several is the next wake-up",
        ["wake at 102"],
        waiting(("b", 1.0), ("a", 3.0)),
        busy("c#1", size=10),
    ),
]

LATE = ("a", 5.0)  # it has waited for `swap_after`
RULE_4 = [
    row("before swap_after, busy workers stay", ["wake at 100.1"], waiting(("a", 4.9)), busy("b#1", size=8)),
    row("after swap_after, a busy worker is drained", ["drain b#1, evicted for a"], waiting(LATE), busy("b#1", size=8)),
    row(
        "the longest-running busy worker is drained first",
        ["drain c#1, evicted for a"],
        waiting(LATE),
        busy("b#1", started=2),
        busy("c#1", started=1),
    ),
    row("equally long: by name", ["drain b#1, evicted for a"], waiting(LATE), busy("c#1"), busy("b#1")),
    row(
        "idle workers go before busy ones",
        ["stop c#1, evicted for a"],
        waiting(LATE),
        busy("b#1", started=1),
        worker("c#1", started=2),
    ),
    row(
        "idle and busy workers may go together",
        ["stop c#1, evicted for a", "drain b#1, evicted for a"],
        waiting(LATE),
        busy("b#1"),
        worker("c#1"),
        models=[model("a", 8)],
    ),
    row(
        "a place that costs no busy worker is cleared first",
        ["stop c#1, evicted for a", "stop d#1, evicted for a"],
        waiting(LATE),
        busy("b#1", size=8),
        worker("c#1", devices=("gpu2",)),
        worker("d#1", devices=("gpu2",)),
        models=[model("a", 8, on=("gpu", "gpu2"))],
        budget={"gpu": 10, "gpu2": 10},
    ),
    row(
        "a busy pinned worker is never drained",
        ["drain b#1, evicted for a"],
        waiting(LATE),
        busy("p#1", size=5, evictable=False),
        busy("b#1", size=2),
    ),
    row(
        "an idle worker that requests wait for is stopped like a busy one",
        ["stop b#1, evicted for a"],
        waiting(LATE, "b"),
        worker("b#1", size=8),
        busy("c#1", size=2),
        max_leases=1,
    ),
    row(
        "a busy worker stays for an older request that waits at the limit",
        [],
        waiting(("b", 9.0), LATE),
        busy("b#1", size=8),
        max_leases=1,
    ),
    row(
        "at the limit, it is drained if the request for it is younger",
        ["drain b#1, evicted for a"],
        waiting(LATE, "b"),
        busy("b#1", size=8),
        max_leases=1,
    ),
    row(
        "free memory that the oldest request needs is reserved",
        ["wake at 105"],
        waiting(LATE, "d"),
        draining("b#1", size=6, resumable=False),
        models=[model("a", 10)],
    ),
    row(
        "a younger request may use another device",
        ["start d on gpu2 with 4"],
        waiting(LATE, "d"),
        draining("b#1", size=6, resumable=False),
        models=[model("a", 10), model("d", on=("gpu", "gpu2"))],
        budget={"gpu": 10, "gpu2": 4},
    ),
    row(
        "an awaited start is not interrupted, and its memory is reserved",
        ["wake at 105"],
        waiting(LATE, "b", "d"),
        starting("b#1"),
        busy("c#1"),
        models=[model("a", 10), model("d", 2)],
    ),
    row(
        "a place without an awaited start is cleared first",
        ["drain c#1, evicted for a", "drain d#1, evicted for a"],
        waiting(LATE, "b"),
        starting("b#1", size=8),
        busy("c#1", devices=("gpu2",)),
        busy("d#1", devices=("gpu2",)),
        models=[model("a", 8, on=("gpu", "gpu2"))],
        budget={"gpu": 10, "gpu2": 10},
    ),
    row(
        "two late requests get room one after the other",
        ["drain b#1, evicted for a", "drain c#1, evicted for d"],
        waiting(LATE, ("d", 5.0)),
        busy("b#1", started=1),
        busy("c#1", started=2),
        budget={"gpu": 8},
    ),
    row("what drains already is enough", [], waiting(LATE), draining("b#1", size=8), busy("c#1", size=2)),
]

RESUMES = [
    row("a worker that drains for no request is resumed", ["resume b#1"], waiting(), draining("b#1")),
    row("its own model's request resumes it", ["resume b#1"], waiting("b"), draining("b#1")),
    row(
        "it is not resumed while the request it drains for still waits",
        ["wake at 105"],
        waiting(LATE, "b"),
        draining("b#1", size=8),
        models=[model("b", 8)],
    ),
    row(
        "it is resumed if the reservation fits without its memory",
        ["resume b#1"],
        waiting(LATE, "b"),
        stopping("c#1"),
        draining("b#1"),
        models=[model("a", 6)],
    ),
    row(
        "one of two is resumed if the other's memory is enough",
        ["resume b#1"],
        waiting(LATE),
        draining("b#1"),
        draining("c#1"),
        models=[model("a", 6)],
    ),
    row("other drains are not resumed", [], waiting(), draining("b#1", resumable=False)),
    row("without leases it stops anyway", [], waiting(), draining("b#1", leases=0)),
]


@pytest.mark.parametrize(("snapshot", "expected"), RULE_3)
def test_rule_3_evicts_idle_workers(snapshot: Snapshot, expected: list[str]) -> None:
    assert decisions(snapshot) == expected


@pytest.mark.parametrize(("snapshot", "expected"), RULE_4)
def test_rule_4_swaps_after_a_long_wait(snapshot: Snapshot, expected: list[str]) -> None:
    assert decisions(snapshot) == expected


@pytest.mark.parametrize(("snapshot", "expected"), RESUMES)
def test_resumes_what_drains_in_vain(snapshot: Snapshot, expected: list[str]) -> None:
    assert decisions(snapshot) == expected


def test_the_order_of_workers_does_not_matter() -> None:
    workers = [busy("a#1"), worker("b#1", last_used=1), worker("c#1"), busy("d#1", started=1), worker("e#1", size=2)]
    requests = waiting(("f", 9.0), "a", "g")
    forwards = situation(requests, *workers, budget={"gpu": 20})
    assert decisions(forwards) == decisions(situation(requests, *workers[::-1], budget={"gpu": 20}))
