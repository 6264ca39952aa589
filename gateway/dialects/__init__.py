"""Other APIs in front of our tasks, one file for each: their paths, their models, and two pure translations.

A dialect turns another API's request into requests for tasks, and their answers into that API's answer. It does no I/O
and reads no clock; `gateway/routes/dialects.py` runs it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from gateway.dialects.dialect import ApiDialect


@cache
def all_dialects() -> dict[str, ApiDialect]:
    """Every dialect by name, found in the files of this folder."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    dialects = (value for module in modules for value in vars(module).values() if isinstance(value, ApiDialect))
    return {dialect.name: dialect for dialect in dialects}
