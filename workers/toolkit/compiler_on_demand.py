"""Imports libraries without torch's compiler, which no engine uses and which takes a quarter of the start of a worker.

Libraries mark functions for the compiler, and ask it for something only when they compile. A stand-in leaves the marks
out. It imports the compiler once anything else is taken from it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"
_MARKS = ("allow_in_graph", "assume_constant_result", "disable")
"""Decorators that change a function only for code that is compiled."""
_PARTS = ("torch._dynamo.utils", "torch._dynamo._trace_wrapped_higher_order_op")
"""What torchvision's `roi_align` and the masks of transformers take functions from, to call them when they compile."""


class _WholeCompiler(ModuleType):
    """Stands in for the compiler."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # whoever looks through all modules asks for these
            raise AttributeError(name)
        return _unchanged if name in _MARKS else getattr(_compiler(), name)


class _CompilerPart(ModuleType):
    """Stands in for a module of the compiler: functions taken from it import it when they are called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            return getattr(importlib.import_module(self.__name__), name)(*arguments)

        return call


def _unchanged(function: Any = None, *_: Any, **__: Any) -> Any:
    return function if callable(function) else _unchanged


def _compiler() -> ModuleType:
    """Torch's compiler, in place of what stands in for it."""
    if isinstance(sys.modules.get(_NAME), _WholeCompiler):
        _remove_parts()
        del sys.modules[_NAME], torch._dynamo
    return importlib.import_module(_NAME)


def _remove_parts() -> None:
    for name in _PARTS:
        if isinstance(sys.modules.get(name), _CompilerPart):
            del sys.modules[name]


def import_without_compiler(*names: str) -> None:
    """Import modules without torch's compiler, unless it is there already or they need more of it than marks."""
    if _NAME not in sys.modules:
        sys.modules[_NAME] = torch._dynamo = _WholeCompiler(_NAME)
    compiler = sys.modules[_NAME]
    if isinstance(compiler, _WholeCompiler):
        compiler.__path__ = []  # a package, for `from torch._dynamo import allow_in_graph`
        sys.modules.update({name: _CompilerPart(name) for name in _PARTS if name not in sys.modules})
        try:
            for name in names:
                importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith(_NAME):
                raise
            _compiler()
        finally:
            vars(compiler).pop("__path__", None)  # from here on, importing a module of it imports the compiler
            _remove_parts()
    for name in names:
        importlib.import_module(name)
