"""Tests of how the gateway's process keeps memory for long texts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contract import long_texts

_ROOT = Path(long_texts.__file__).parent.parent
_PAGES_OF_A_SECOND_ANSWER = """
import resource
from contract.long_texts import return_large_blocks

return_large_blocks()
source = b"x" * 65536

def collect():
    pieces = [source[:40000] + source[40000:] for _ in range(64)]
    return len(pieces)

collect()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    collect()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's thresholds")
def test_collected_answers_use_the_same_pages_again() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", _PAGES_OF_A_SECOND_ANSWER], cwd=_ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert int(printed) < 2048  # ten answers of 4 MiB have 10,240 pages
