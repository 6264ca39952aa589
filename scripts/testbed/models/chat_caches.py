"""Language models whose cache is not, or not only, one column of keys and values per token."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.weights import TEXT
from scripts.testbed.models.chat import build_lm, save_text

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers


def build_sliding(folder: Path) -> None:
    """A Qwen2 in which every other layer only attends to the last twelve tokens."""
    build_lm(folder, use_sliding_window=True, sliding_window=12, max_window_layers=1)


def build_convolving(folder: Path) -> None:
    """An LFM2: a layer with a short convolution, and one with attention."""
    from transformers import Lfm2Config, Lfm2ForCausalLM

    save_text(folder, Lfm2Config, Lfm2ForCausalLM, **TEXT, layer_types=["conv", "full_attention"])


def build_linear(folder: Path) -> None:
    """A Qwen3-Next: a layer with linear attention, which has a recurrent state, and one with full attention."""
    from transformers import Qwen3NextConfig, Qwen3NextForCausalLM

    experts = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 32}
    heads = {"head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 2}
    sizes = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "shared_expert_intermediate_size": 32}
    layers = {"layer_types": ["linear_attention", "full_attention"]}
    save_text(folder, Qwen3NextConfig, Qwen3NextForCausalLM, **TEXT, **experts, **heads, **sizes, **layers)


def build_mamba(folder: Path) -> None:
    """A Mamba, without attention."""
    from transformers import MambaConfig, MambaForCausalLM

    shape: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}
    save_text(folder, MambaConfig, MambaForCausalLM, **shape)
