"""The files that the checks read."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("client", "contract", "gateway", "manager", "workers", "scripts")
LIBRARIES = frozenset(ROOT / name for name in ("gateway/reference", "gateway/ui/static/vendor", "tests/support/axe"))
"""Folders with files of others, unchanged."""


def tracked(*patterns: str) -> list[Path]:
    """Files that git tracks or would add, of those that match a pattern. Without patterns: all."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in sorted(set(listed.splitlines())) if (ROOT / name).is_file()]


def modules() -> list[Path]:
    """The Python files of our packages."""
    return tracked(*(f"{package}/*.py" for package in PACKAGES))


def pages() -> list[Path]:
    """The documentation: Markdown files in the root and in docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
