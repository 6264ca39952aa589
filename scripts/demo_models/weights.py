"""Reproducible random weights, with enough variance that an answer depends on the request."""

from __future__ import annotations

from typing import Any

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
"""The shape of a tiny language model, with the names of transformers' configurations."""

VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
"""The shape of a tiny vision tower."""


def spread(model: Any, *, matrices: float = 0.25, vectors: float = 0.05, seed: int = 1) -> Any:
    """Fill `model` with normal values of these standard deviations, except its norms. Returns the model."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # RT-DETR's are random, and of no fixed seed
            module.reset_parameters()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.is_floating_point() and "norm" not in name.lower():
                scale = matrices if weight.ndim > 1 else vectors
                weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
    return model.eval()
