"""The rings of the history: their size does not depend on the load, and what falls out of them is forgotten."""

from __future__ import annotations

import tracemalloc

from contract.history import ColdStart
from manager.history.recorder import POINTS
from manager.history.rings import MAX_NAMES, MAX_SHARES, Moment, Rings, Share
from manager.recent_work import MAX_STARTS, RecentWork, WorkCounts


def point(time: float, *shares: Share, requests: int = 0) -> Moment:
    return Moment(time, 5.0, WorkCounts(requests=requests), 1, 2, [10], [4], shares)


def test_an_hour_of_any_load_costs_under_2_mb() -> None:
    huge = 2**40
    counts = WorkCounts(huge, huge, huge, huge, huge)
    tracemalloc.start()
    rings, work, rates = Rings(POINTS, 1000), RecentWork(), []
    for number in range(60):  # the arrays are as large as after an hour, and all names are in use
        names = [f"{number}-{worker}-{'m' * 300}" for worker in range(2 * MAX_SHARES)]  # all of them new
        shares = [Share(index % 20, name, name, huge + index) for index, name in enumerate(names)]
        rings.append(Moment(number, 5.0, counts, huge, huge, [huge] * 1000, [huge] * 1000, shares))
        rates = [*rates[-1:], work.take()]  # the recorder keeps those of two points
        for model in range(1000):
            work.count(f"{model}-{names[0]}", counts)
        for name in names[:4]:
            work.add_start(ColdStart(time=1, model=name, worker=name, seconds=1, phases={"load": 1.0}, error=name * 10))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 2_000_000
    assert len(work.starts) == MAX_STARTS


def test_keeps_the_last_points_in_order() -> None:
    rings = Rings(3, 1)
    for number in range(1, 6):
        rings.append(point(number, requests=number * 10))
    slots = rings.slots(0)
    assert (rings.times(slots), rings.counts("requests", slots)) == ([3, 4, 5], [30, 40, 50])
    assert (rings.used(0, slots), rings.foreign(0, slots)) == ([10] * 3, [4] * 3)
    assert rings.times(rings.slots(since=4)) == [5]


def test_keeps_the_largest_shares_of_a_point() -> None:
    rings = Rings(2, 1)
    rings.append(point(1, *(Share(0, f"m#{size}", "m", size) for size in range(1, MAX_SHARES + 3))))
    kept = [share.bytes for share in rings.shares(0)]
    assert (min(kept), max(kept), len(kept)) == (3, MAX_SHARES + 2, MAX_SHARES)


def test_names_that_no_point_has_make_room_for_others() -> None:
    rings = Rings(2, 1)
    for number in range(3 * MAX_NAMES):
        rings.append(point(number, Share(0, f"m#{number}", "m", 7)))
    assert [share.worker for slot in rings.slots(0) for share in rings.shares(slot)] == [
        f"m#{3 * MAX_NAMES - 2}",
        f"m#{3 * MAX_NAMES - 1}",
    ]
