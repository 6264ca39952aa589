"""Idefics3 and SmolVLM: images are cut into tiles of one size, and each tile is encoded separately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from workers.engines.transformers_chat.families.family import ChatFamily, Pixels

_NAMES = ("pixel_values", "pixel_attention_mask")


class Idefics3Family(ChatFamily):
    """Splits the processor's tiles (1, tiles, channels, height, width) and the masks of their padding."""

    model_types: ClassVar[frozenset[str]] = frozenset({"idefics3", "smolvlm"})

    def split(self, inputs: Mapping[str, Any]) -> list[Pixels]:
        names = [name for name in _NAMES if name in inputs]
        return [{name: inputs[name][0, tile] for name in names} for tile in range(inputs["pixel_values"].shape[1])]

    def stack(self, images: Sequence[Pixels]) -> Pixels:
        return {name: torch.stack([image[name] for image in images])[None] for name in images[0]}
