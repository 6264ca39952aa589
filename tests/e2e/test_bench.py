"""The benchmarks run; their values are not checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.bench import bodies, chat, jobs, overhead, sampling, stream, structured, wrk
from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio
from scripts.bench.report import page, summary


@pytest.mark.parametrize("bench", [stream, bodies, sampling], ids=lambda bench: bench.__name__)
def test_measurement_has_a_value_for_every_goal(bench: Any, tmp_path: Path) -> None:
    result = bench.measure(Setup(tmp_path, quick=True))
    assert all(goal.value is not None for goal in result.goals)
    assert result.title in page([result], "make bench", 0.0)


@pytest.mark.parametrize("bench", [overhead, chat, structured, jobs], ids=lambda bench: bench.__name__)
def test_rates_are_skipped_without_wrk(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrk, "is_installed", lambda: False)
    goals = bench.measure(Setup(tmp_path, quick=True)).goals
    assert {goal.verdict for goal in goals} == {f"skipped: {wrk.MISSING}"}


def test_goals_are_upper_or_lower_limits() -> None:
    assert Goal("rate", 0.75, 0.8, at_least=True).met
    assert not Goal("rate", 0.75, 0.7, at_least=True).met
    assert Goal("latency", 1.4, 1.4).met
    assert not Goal("latency", 1.4, 1.5).met
    missed = Result("A title", "", [Goal("latency", 1.4, 1.5, " ×")])
    assert summary([missed]).splitlines()[1].split() == [
        "A",
        "title:",
        "latency",
        "≤",
        "1.4",
        "×",
        "1.5",
        "×",
        "missed",
    ]


def test_ratio_compares_values_of_the_same_round() -> None:
    order: list[str] = []
    values = in_turns(2, {name: (lambda name=name: float(order.append(name) or len(order))) for name in ("a", "b")})  # type: ignore[misc,func-returns-value]
    assert order == ["a", "b", "a", "b"]
    assert ratio(values["a"], values["b"]) == (1 / 2 + 3 / 4) / 2
