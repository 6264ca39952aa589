"""Adapters for families of models, one file each; `find` picks one by `model_type`.

A new family is one new file here that defines a subclass of `ChatFamily` with its `model_types`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from workers.engines.transformers_chat.families.family import ChatFamily


def _discover() -> dict[str, type[ChatFamily]]:
    """Every adapter by the model types it serves, found in the files of this folder."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    values = [value for module in modules for value in vars(module).values()]
    adapters = [value for value in values if isinstance(value, type) and issubclass(value, ChatFamily)]
    return {model_type: adapter for adapter in adapters for model_type in adapter.model_types}


_ADAPTERS = _discover()
"""Filled at import, so that a standby has imported the adapters before it gets its model."""


def find(model: Any) -> ChatFamily:
    """The adapter for the model's family, or the general one."""
    return _ADAPTERS.get(model.config.model_type, ChatFamily)(model)
