"""Files stay under 300 lines and functions under 40: what is longer does more than one thing."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from scripts.check import sources

FILE, FUNCTION = 300, 40
ALLOWED: dict[str, str] = {}
"""Longer ones, each with its reason: `path` or `path::function`."""


def problems() -> Iterable[str]:
    """One line for each file or function that is too long."""
    for path in sources.tracked("*.py", "*.sh", "*.js", "*.css"):
        if path.parent in sources.LIBRARIES:
            continue
        name = str(path.relative_to(sources.ROOT))
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
