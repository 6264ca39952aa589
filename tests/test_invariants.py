"""Rules of ARCHITECTURE.md that the source code itself shows."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMPURE = {"asyncio", "logging", "os", "pathlib", "psutil", "random", "subprocess", "threading", "time", "uuid"}


def test_plan_is_pure() -> None:
    tree = parse("plan.py")
    assert "admit" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert_pure(tree)
    assert_pure(parse("views.py"))


def assert_pure(tree: ast.Module) -> None:
    """No I/O, clock, logging or randomness, and nothing asynchronous or global."""
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert imported & IMPURE == set()
    assert called & {"open", "print", "input"} == set()
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global)]


def parse(name: str) -> ast.Module:
    return ast.parse((ROOT / "manager" / "scheduling" / name).read_text())


def test_decider_never_awaits() -> None:
    pool = next(node for node in parse("pool.py").body if isinstance(node, ast.ClassDef) and node.name == "Pool")
    methods = {node.name: node for node in pool.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    to_visit, seen = ["_schedule"], set()
    while to_visit:
        name = to_visit.pop()
        seen.add(name)
        assert isinstance(methods[name], ast.FunctionDef), f"Pool.{name} is called by _schedule and must not await"
        used = {n.attr for n in ast.walk(methods[name]) if isinstance(n, ast.Attribute)}
        called = {
            n.func.attr
            for n in ast.walk(methods[name])
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)
        }
        # Coroutines that are passed to a background task are not awaited here.
        passed_on = {name for name in used & methods.keys() if isinstance(methods[name], ast.AsyncFunctionDef)}
        to_visit += sorted((called & methods.keys()) - seen - passed_on)
    assert len(seen) > 5


def test_dialects_do_no_io() -> None:
    for path in (ROOT / "gateway" / "dialects").rglob("*.py"):
        assert_pure(ast.parse(path.read_text()))
