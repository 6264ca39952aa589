"""The fixture for tests of the scheduler: pools under test, closed after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.virtual_clock import Harness

Make = Callable[..., Harness]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Builds a pool from entries, with `needs` in GiB, and sizes of devices in GiB."""
    harnesses: list[Harness] = []

    def build(specs: dict[str, dict[str, Any]], sizes: dict[str, int] | None = None, **resources: Any) -> Harness:
        harnesses.append(Harness(tmp_path / str(len(harnesses)), specs, sizes or {"cpu": 10}, **resources))
        return harnesses[-1]

    yield build
    for harness in harnesses:
        harness.close()
