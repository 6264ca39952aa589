"""`make demo` shows what it promises, and says so by its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)  # eight starts of real engines, most of them cold, beside the other tests
def test_the_demonstration() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "scripts.demo"], cwd=ROOT, capture_output=True, text=True, timeout=380, check=False
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for promised in ("Invoice 2048", "A kitten naps", "times faster", "no process is left", "All went as it should."):
        assert promised in shown.stdout
    assert shown.stdout.count("starting → ready") == 8
    assert (ROOT / "data" / "demo" / "drawn.png").read_bytes().startswith(b"\x89PNG")
