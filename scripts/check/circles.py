"""No module imports itself through others, type-checking imports included.

import-linter's `acyclic_siblings` compares the children of a package with each other. This check also finds circles
between a package's `__init__` and its own modules.
"""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

import grimp

from scripts.check import sources


def problems() -> Iterable[str]:
    """One line with the first circle."""
    graph = grimp.build_graph(*sources.PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        yield f"import circle: {' -> '.join(reversed(error.args[1]))}"
