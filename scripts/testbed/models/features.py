"""Feature extractors with a few thousand random weights: DINOv2 with and without registers, DINOv3 ViT and ConvNeXt."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.weights import spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}


def build_dinov2(folder: Path) -> None:
    """DINOv2: images are cropped to a square of 5 x 5 patches."""
    from transformers import Dinov2Config, Dinov2Model

    _save(folder, Dinov2Model(Dinov2Config(image_size=70, patch_size=14, **SHAPE)), _cropping_processor())


def build_dinov2_with_registers(folder: Path) -> None:
    """DINOv2 with two register tokens after the class token."""
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = Dinov2WithRegistersConfig(image_size=70, patch_size=14, num_register_tokens=2, **SHAPE)
    _save(folder, Dinov2WithRegistersModel(config), _cropping_processor())


def build_dinov3(folder: Path) -> None:
    """DINOv3: images are stretched to a square of 4 x 4 patches; four register tokens."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    config = DINOv3ViTConfig(image_size=64, patch_size=16, intermediate_size=64, num_register_tokens=4, **SHAPE)
    _save(folder, DINOv3ViTModel(config), _stretching_processor())


def build_dinov3_convnext(folder: Path) -> None:
    """DINOv3 distilled into a ConvNeXt with four stages."""
    from transformers import DINOv3ConvNextConfig, DINOv3ConvNextModel

    config = DINOv3ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], image_size=64)
    _save(folder, DINOv3ConvNextModel(config), _stretching_processor())


def _cropping_processor() -> Any:
    from transformers import BitImageProcessor

    return BitImageProcessor(size={"shortest_edge": 80}, crop_size={"height": 70, "width": 70})


def _stretching_processor() -> Any:
    from transformers import DINOv3ViTImageProcessor

    return DINOv3ViTImageProcessor(size={"height": 64, "width": 64})


def _save(folder: Path, model: Any, processor: Any) -> None:
    spread(model, matrices=0.1).save_pretrained(folder)
    processor.save_pretrained(folder)
