"""What may be handed out never exceeds what there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manager.memory import GIB, Reading
from manager.memory.budget import at_best, budget, foreign

sizes = st.integers(0, 1 << 40)
readings = st.builds(Reading, st.just("cpu"), sizes, sizes)
ceilings = st.none() | sizes


@given(readings, sizes, sizes, ceilings)
def test_a_budget_keeps_within_its_bounds(reading: Reading, own: int, margin: int, ceiling: int | None) -> None:
    given_out = budget(reading, own, margin, ceiling)
    assert 0 <= given_out <= max(0, reading.total - margin)
    assert ceiling is None or given_out <= ceiling
    assert given_out <= at_best(reading.total, margin, ceiling)


@given(readings, sizes, sizes, ceilings)
def test_what_others_take_is_taken_off(reading: Reading, own: int, margin: int, ceiling: int | None) -> None:
    assert 0 <= foreign(reading, own) <= reading.total
    more = Reading(reading.device, reading.total, reading.used + GIB)
    assert budget(more, own, margin, ceiling) <= budget(reading, own, margin, ceiling)
    assert budget(reading, own, margin, ceiling) + margin + foreign(reading, own) <= max(
        reading.total, margin + foreign(reading, own)
    )


@given(readings, sizes, sizes, ceilings, sizes)
def test_what_our_own_workers_take_changes_nothing(
    reading: Reading, own: int, margin: int, ceiling: int | None, growth: int
) -> None:
    grown = Reading(reading.device, reading.total, reading.used + growth)
    assert foreign(grown, own + growth) == foreign(reading, own)
    assert budget(grown, own + growth, margin, ceiling) == budget(reading, own, margin, ceiling)


def test_an_example() -> None:
    reading = Reading("GPU-1", total=80 * GIB, used=30 * GIB)
    assert foreign(reading, own=18 * GIB) == 12 * GIB
    assert budget(reading, own=18 * GIB, margin=2 * GIB) == 66 * GIB
    assert budget(reading, own=18 * GIB, margin=2 * GIB, ceiling=40 * GIB) == 40 * GIB
    assert at_best(80 * GIB, margin=2 * GIB) == 78 * GIB
