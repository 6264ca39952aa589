"""How families of models read prompts, a file each; `find` picks by `model_type`."""

from __future__ import annotations

from typing import Any

from workers.engines.transformers_chat.families.family import Family
from workers.engines.transformers_chat.families.idefics3 import Idefics3Family
from workers.engines.transformers_chat.families.llava import LlavaFamily
from workers.engines.transformers_chat.families.mrope import MRopeFamily

ADAPTERS: tuple[type[Family], ...] = (Idefics3Family, LlavaFamily, MRopeFamily)


def find(model: Any) -> Family:
    """The adapter of the model's family; the one for all models where there is none."""
    model_type = model.config.model_type
    return next((adapter for adapter in ADAPTERS if model_type in adapter.model_types), Family)(model)
