"""LLaVA: all images are scaled to one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from workers.engines.transformers_chat.families.family import ChatFamily, Pixels


class LlavaFamily(ChatFamily):
    """Splits the processor's images (images, channels, height, width)."""

    model_types: ClassVar[frozenset[str]] = frozenset({"llava"})

    def split(self, inputs: Mapping[str, Any]) -> list[Pixels]:
        if "image_sizes" in inputs:  # Pixtral's encoder: images of different sizes cannot be split like this
            return []
        return [{"pixel_values": pixels[None]} for pixels in inputs["pixel_values"]]

    def stack(self, images: Sequence[Pixels]) -> Pixels:
        return {name: torch.cat([image[name] for image in images]) for name in images[0]}
