"""Budgets never exceed the memory that exists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manager.memory.budget import budget, largest_budget, used_by_others
from manager.memory.device import GIB, Reading

sizes = st.integers(0, 1 << 40)
readings = st.builds(Reading, st.just("cpu"), sizes, sizes)
ceilings = st.none() | sizes


@given(readings, sizes, sizes, ceilings)
def test_a_budget_stays_within_its_bounds(reading: Reading, own: int, margin: int, ceiling: int | None) -> None:
    handed_out = budget(reading, own, margin, ceiling)
    assert 0 <= handed_out <= max(0, reading.total - margin)
    assert ceiling is None or handed_out <= ceiling
    assert handed_out <= largest_budget(reading.total, margin, ceiling)


@given(readings, sizes, sizes, ceilings)
def test_memory_used_by_others_is_subtracted(reading: Reading, own: int, margin: int, ceiling: int | None) -> None:
    assert 0 <= used_by_others(reading, own) <= reading.total
    more = Reading(reading.device, reading.total, reading.used + GIB)
    assert budget(more, own, margin, ceiling) <= budget(reading, own, margin, ceiling)
    assert budget(reading, own, margin, ceiling) + margin + used_by_others(reading, own) <= max(
        reading.total, margin + used_by_others(reading, own)
    )


@given(readings, sizes, sizes, ceilings, sizes)
def test_memory_of_our_own_workers_changes_nothing(
    reading: Reading, own: int, margin: int, ceiling: int | None, growth: int
) -> None:
    grown = Reading(reading.device, reading.total, reading.used + growth)
    assert used_by_others(grown, own + growth) == used_by_others(reading, own)
    assert budget(grown, own + growth, margin, ceiling) == budget(reading, own, margin, ceiling)


def test_an_example() -> None:
    reading = Reading("GPU-1", total=80 * GIB, used=30 * GIB)
    assert used_by_others(reading, own=18 * GIB) == 12 * GIB
    assert budget(reading, own=18 * GIB, margin=2 * GIB) == 66 * GIB
    assert budget(reading, own=18 * GIB, margin=2 * GIB, ceiling=40 * GIB) == 40 * GIB
    assert largest_budget(80 * GIB, margin=2 * GIB) == 78 * GIB
