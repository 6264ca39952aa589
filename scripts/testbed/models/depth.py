"""Depth models: Depth Anything 1 and 2, Depth Pro and ZoeDepth with a few thousand random weights each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.weights import spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

PATCH = 14
SIDE = 70
"""The shorter side of the models' input for large images, in pixels."""
FAR = 20
"""The end of the metric model's range in metres, as in the indoor checkpoints."""


def build_depth_relative(folder: Path) -> None:
    """Depth Anything 1 or 2: disparity."""
    _save_depth_anything(folder, "relative", 1)


def build_depth_metric(folder: Path) -> None:
    """Depth Anything V2 with metric depth."""
    _save_depth_anything(folder, "metric", FAR)


def _save_depth_anything(folder: Path, estimation_type: str, max_depth: int) -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    backbone = Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=SIDE, patch_size=PATCH,
        out_indices=[1, 2, 3, 4], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type=estimation_type, max_depth=max_depth,
    )  # fmt: skip
    model = spread(DepthAnythingForDepthEstimation(config), matrices=0.3)
    _damp(model.head.conv3, 1 / 600, 3.0 if estimation_type == "relative" else 1.5)
    model.save_pretrained(folder)
    DPTImageProcessor(
        size={"height": SIDE, "width": SIDE}, keep_aspect_ratio=True, ensure_multiple_of=PATCH,
        image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)  # fmt: skip


def _damp(layer: Any, factor: float, bias: float) -> None:
    """Scale a last layer so that its outputs are neither huge nor nearly constant."""
    layer.weight.data.mul_(factor)
    layer.bias.data.fill_(bias)


def build_depth_pro(folder: Path) -> None:
    """Depth Pro, which sees patches of the image at three scales and predicts the focal length."""
    from transformers import DepthProConfig, DepthProForDepthEstimation, DepthProImageProcessor

    encoder: dict[str, Any] = {
        "model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 8, "use_mask_token": False,
    }  # fmt: skip
    config = DepthProConfig(
        patch_size=32, fusion_hidden_size=16, intermediate_hook_ids=[3, 1], intermediate_feature_dims=[16, 16],
        scaled_images_feature_dims=[16, 16, 16], use_fov_model=True, num_fov_head_layers=1,
        image_model_config=encoder, patch_model_config=dict(encoder), fov_model_config=dict(encoder),
    )  # fmt: skip
    model = spread(DepthProForDepthEstimation(config))
    _damp(model.head.layers[-2], 1e-5, 1.5)  # inverse depth, which must be positive
    _damp(model.fov_model.head.layers[-1], 0.3, 50.0)  # degrees
    model.save_pretrained(folder)
    DepthProImageProcessor(size={"height": 128, "width": 128}).save_pretrained(folder)


def build_zoedepth(folder: Path) -> None:
    """ZoeDepth with a BEiT backbone and one head."""
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation, ZoeDepthImageProcessor

    backbone = BeitConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=64, patch_size=16,
        use_relative_position_bias=True, reshape_hidden_states=False, out_features=[f"stage{n}" for n in (1, 2, 3, 4)],
    )  # fmt: skip
    config = ZoeDepthConfig(
        backbone_config=backbone, backbone_hidden_size=16, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=16,
        bottleneck_features=16, num_relative_features=8, num_attractors=[4, 2, 2, 1], bin_embedding_dim=16,
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
    )  # fmt: skip
    spread(ZoeDepthForDepthEstimation(config)).save_pretrained(folder)
    ZoeDepthImageProcessor(size={"height": 64, "width": 96}, ensure_multiple_of=16).save_pretrained(folder)
