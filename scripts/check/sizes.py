"""Files stay under 300 lines and functions under 40: what is longer does more than one thing."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable
from pathlib import Path

from scripts.check.tables import ROOT

FILE, FUNCTION = 300, 40
ALLOWED: dict[str, str] = {}
"""Longer ones, each with its reason: `path` or `path::function`."""


def tracked(*patterns: str) -> list[Path]:
    """Files that git keeps or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in sorted(set(listed.splitlines())) if (ROOT / name).is_file()]


def problems() -> Iterable[str]:
    """What is too long, a line each."""
    for path in tracked("*.py", "*.sh"):
        name = str(path.relative_to(ROOT))
        text = path.read_text()
        if len(text.splitlines()) > FILE and name not in ALLOWED:
            yield f"{name}: {len(text.splitlines())} lines; {FILE} are allowed"
        if path.suffix == ".py" and not name.startswith("tests/"):
            yield from _long_functions(name, ast.parse(text))


def _long_functions(name: str, tree: ast.Module) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION and f"{name}::{node.name}" not in ALLOWED:
                yield f"{name}:{node.lineno}: {node.name} has {lines} lines; {FUNCTION} are allowed"
