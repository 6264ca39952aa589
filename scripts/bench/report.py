"""Writes what was measured: docs/benchmarks.md for readers, a table of goals for the terminal."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from scripts.bench.measurement import Result

_HEAD = """# Benchmarks

Written by `make bench`; do not edit. Every figure compares two things that were measured in turns in one run, on one
machine, since absolute values say more about the machine than about the house.

- Measured on {date}: {machine}
- Load of the machine at the start, by others too: {load:.1f} on {cores} cores
- Command: `{command}`
- {versions}
"""
_SHOWN = ("fastapi", "uvicorn", "uvloop", "aiohttp", "pydantic")


def page(results: Sequence[Result], command: str, load: float) -> str:
    """The whole page of docs."""
    parts = [_head(command, load), _table(("Goal", "Wanted", "Measured", ""), _goals(results))]
    return "\n".join([*parts, *(_section(result) for result in results)])


def summary(results: Sequence[Result]) -> str:
    """The goals alone, aligned for a terminal."""
    rows = [("goal", "wanted", "measured", ""), *_goals(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _head(command: str, load: float) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _SHOWN)
    return _HEAD.format(
        date=time.strftime("%Y-%m-%d"),
        machine=_machine(),
        load=load,
        cores=os.cpu_count(),
        command=command,
        versions=f"Python {platform.python_version()}, {versions}",
    )


def _machine() -> str:
    names = [line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")]
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} × {names[0] if names else 'CPU'}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _section(result: Result) -> str:
    table = "\n" + _table(result.columns, result.rows) if result.rows else ""
    return f"## {result.title}\n{result.text}{table}"


def _goals(results: Iterable[Result]) -> list[tuple[str, ...]]:
    return [
        (f"{result.title}: {goal.what}", goal.wanted, goal.measured, goal.verdict)
        for result in results
        for goal in result.goals
    ]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
