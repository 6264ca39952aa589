"""Names: no two classes or type aliases share one, test names are short, and file names say what is in them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from scripts.check import sources

TEST_NAME = 60
"""The longest name of a test, in characters."""
_VAGUE = re.compile(r"(^|_)(utils?|common|helpers?|misc)(_|\.|$)")
_TYPE_NAME = re.compile(r"_*[A-Z]\w*[a-z]\w*")


def problems() -> Iterable[str]:
    """One line for each name that is taken, too long or vague."""
    yield from _shared_names()
    yield from _long_test_names()
    for path in sources.tracked():
        name = path.relative_to(sources.ROOT)
        if any(_VAGUE.search(part) for part in name.parts):
            yield f"{name}: name it for what is in it"


def _shared_names() -> Iterable[str]:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in sources.modules():
        for name, line in type_names(path.read_text()):
            places[name.lstrip("_")].append(f"{path.relative_to(sources.ROOT)}:{line}")
    for name, uses in sorted(places.items()):
        if len(uses) > 1:
            yield f"{', '.join(uses)}: all define {name}; give each its own name"


def type_names(text: str) -> Iterator[tuple[str, int]]:
    """The classes and capitalised type aliases that a module defines, with their lines. Type variables do not count."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
        if isinstance(node, ast.Assign | ast.AnnAssign) and not _is_call(node.value, "TypeVar", "ParamSpec"):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name) and _TYPE_NAME.fullmatch(target.id):
                    yield target.id, node.lineno


def _is_call(value: ast.expr | None, *functions: str) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in functions


def _long_test_names() -> Iterable[str]:
    for path in sources.tracked("tests/*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        for function in (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            if function.name.startswith("test_") and len(function.name) > TEST_NAME:
                place = f"{path.relative_to(sources.ROOT)}:{function.lineno}"
                yield f"{place}: {function.name} has {len(function.name)} characters; {TEST_NAME} are allowed"
