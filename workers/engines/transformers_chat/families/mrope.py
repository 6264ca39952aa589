"""Qwen-VL and similar models: images of any size, and positions in three dimensions (M-RoPE, arXiv:2409.12191)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from workers.engines.transformers_chat import library
from workers.engines.transformers_chat.families.family import ChatFamily, Pixels


class MRopeFamily(ChatFamily):
    """Splits the processor's patches (patches of all images, size) by each image's grid (images, 3).

    A token's position has four numbers: its place in the row, then time, height and width.
    """

    model_types: ClassVar[frozenset[str]] = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "paddleocr_vl"})
    axes: ClassVar[int] = 4

    def split(self, inputs: Mapping[str, Any]) -> list[Pixels]:
        grids = inputs["image_grid_thw"]
        patches = inputs["pixel_values"].split(grids.prod(-1).tolist())
        return [{"pixel_values": p, "image_grid_thw": g[None]} for p, g in zip(patches, grids, strict=True)]

    def stack(self, images: Sequence[Pixels]) -> Pixels:
        return {name: torch.cat([image[name] for image in images]) for name in images[0]}

    def counts(self, images: Sequence[Pixels], tokens: int) -> list[int]:  # noqa: ARG002
        merged = self.model.config.vision_config.spatial_merge_size**2  # patches for each token
        return [int(image["image_grid_thw"].prod()) // merged for image in images]

    def number(self, inputs: Mapping[str, Any]) -> tuple[Any, int]:
        """The positions by the family's own rule, with each token's place in the row as the first number."""
        ids = inputs["input_ids"]
        positions, offset = library.rope_index(self.model)(
            ids, mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
        )
        places = torch.arange(ids.shape[-1])[None]
        return torch.cat([places, positions[:, 0].cpu()]), int(offset)
