"""Resolves an entry's `source` to a local path or a hub id."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from contract.errors import LoadFailed

PACKAGE = "package:"
"""`package:NAME/FOLDER` names weights inside an installed Python package."""


def resolve(source: str) -> str:
    """The local path of a source on this machine, or the hub id unchanged. Packages are located, not imported.

    Raises LoadFailed, saying what to do, if a package or path does not exist.
    """
    if source.startswith(PACKAGE):
        return str(_in_package(source))
    path = Path(source).expanduser()
    if path.exists():
        return str(path)
    if source.startswith(("/", "~", "./", "../")):
        raise LoadFailed(f"{source} does not exist: put the model there, or correct the entry's `source`.")
    return source


def _in_package(source: str) -> Path:
    name, _, inside = source.removeprefix(PACKAGE).partition("/")
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        project = name.replace("_", "-")
        raise LoadFailed(f"{source}: the Python package {name!r} is not installed; `pip install {project}`.")
    path = Path(next(iter(spec.submodule_search_locations)), inside)
    if not path.exists():
        raise LoadFailed(f"{source}: the package {name!r} is installed but contains no {inside!r}.")
    return path
