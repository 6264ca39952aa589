"""Adapters for families of models, one file each; `find` picks one by `model_type`."""

from __future__ import annotations

from typing import Any

from workers.engines.transformers_chat.families.family import ChatFamily
from workers.engines.transformers_chat.families.idefics3 import Idefics3Family
from workers.engines.transformers_chat.families.llava import LlavaFamily
from workers.engines.transformers_chat.families.mrope import MRopeFamily

ADAPTERS: tuple[type[ChatFamily], ...] = (Idefics3Family, LlavaFamily, MRopeFamily)


def find(model: Any) -> ChatFamily:
    """The adapter of the model's family, or the general one."""
    model_type = model.config.model_type
    return next((adapter for adapter in ADAPTERS if model_type in adapter.model_types), ChatFamily)(model)
