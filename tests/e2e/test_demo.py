"""`make demo` shows all it promises and exits with 0."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(400)  # eight starts of real engines, next to other tests
def test_demo_passes_all_its_checks() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "scripts.demo"], cwd=ROOT, capture_output=True, text=True, timeout=380, check=False
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for words in ("Invoice 2048", "A kitten naps", "times faster", "no process is left", "All checks passed."):
        assert words in demo.stdout
    assert demo.stdout.count("starting → ready") == 8
    assert (ROOT / "data" / "demo" / "drawn.png").read_bytes().startswith(b"\x89PNG")
