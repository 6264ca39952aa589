"""Vision tasks that a chat model can do: one file per task, with the question to ask and the response to make.

`workers.interviewer` asks the questions. A further task is one more file here that defines a `ChatConversion`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from workers.vision_by_chat.conversion import ChatConversion


@cache
def conversions() -> dict[str, ChatConversion]:
    """Every conversion by its task's name, found in the files of this folder."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    values = (value for module in modules for value in vars(module).values() if isinstance(value, ChatConversion))
    return {conversion.task.name: conversion for conversion in values}
