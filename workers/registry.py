"""Finds engines: every file or package in `workers/engines` is one, named as the file is."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from workers.engine import Engine

_FOLDER = "workers.engines"


class UnknownEngine(Exception):
    """There is no engine of that name; the message lists the engines that exist."""


def engine_names() -> list[str]:
    """The names of all engines, sorted."""
    folder = importlib.import_module(_FOLDER).__path__
    return sorted(info.name for info in pkgutil.iter_modules(folder) if not info.name.startswith("_"))


def find_engine(name: str) -> type[Engine]:
    """The engine class in the file of that name. Raises UnknownEngine."""
    if name not in (known := engine_names()):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else "a new engine is a file in workers/engines/."
        raise UnknownEngine(f"unknown engine {name!r}; {hint} Available engines: {', '.join(known)}.")
    module = importlib.import_module(f"{_FOLDER}.{name}")
    classes = (value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Engine))
    return next(engine for engine in classes if engine.__module__.startswith(module.__name__))
