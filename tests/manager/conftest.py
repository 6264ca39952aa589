"""What the pool's tests share: benches that are put away after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.virtual_clock import Bench

Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Builds a pool from entries and sizes of devices in GiB."""
    benches: list[Bench] = []

    def build(specs: dict[str, dict[str, Any]], sizes: dict[str, int] | None = None, **resources: Any) -> Bench:
        benches.append(Bench(tmp_path / str(len(benches)), specs, sizes or {"cpu": 10}, **resources))
        return benches[-1]

    yield build
    for bench in benches:
        bench.close()
