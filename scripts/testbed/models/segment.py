"""Segment Anything models with a few thousand random weights each, in the layout of the hub."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.image import clip_tokenizer
from scripts.demo_models.weights import spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

WIDTH = 32
DECODER = {"hidden_size": WIDTH, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
MEMORY = {
    "memory_attention_hidden_size": WIDTH,
    "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 64,
    "memory_encoder_hidden_size": WIDTH,
    "memory_encoder_output_channels": 8,
    "mask_downsampler_embed_dim": WIDTH,
    "memory_fuser_embed_dim": WIDTH,
    "memory_fuser_intermediate_dim": 64,
}
"""What only videos need, but checkpoints contain."""
LAYERS = {"hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": 2}


def build_sam(folder: Path) -> None:
    """SAM: images keep their aspect ratio and are padded to a square."""
    from transformers import SamConfig, SamModel, SamProcessor

    model = SamModel(SamConfig(mask_decoder_config=DECODER, **_sam_config()))
    _save(folder, model, SamProcessor(_sam_image_processor()))


def build_sam_hq(folder: Path) -> None:
    """SAM-HQ: a SAM whose decoder also gets the encoder's intermediate embeddings."""
    from transformers import SamHQConfig, SamHQModel, SamHQProcessor

    model = SamHQModel(SamHQConfig(mask_decoder_config={"vit_dim": WIDTH, **DECODER}, **_sam_config()))
    _save(folder, model, SamHQProcessor(_sam_image_processor()))


def build_sam2(folder: Path) -> None:
    """SAM 2: published as a video model, of which the engine uses the image part."""
    from transformers import Sam2ImageProcessor, Sam2Processor, Sam2VideoConfig, Sam2VideoModel

    config = Sam2VideoConfig(
        vision_config={
            "fpn_hidden_size": WIDTH,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "image_size": [128, 128],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [8, 4, 4, 2],
                "global_attention_blocks": [3],
            },
        },
        prompt_encoder_config={"hidden_size": WIDTH, "image_size": 128},
        mask_decoder_config=DECODER,
        image_size=128,
        **MEMORY,
    )
    _save(folder, Sam2VideoModel(config), Sam2Processor(Sam2ImageProcessor(size={"height": 128, "width": 128})))


def build_sam3(folder: Path) -> None:
    """SAM 3: detector and tracker in one file, published as a video model."""
    from safetensors.torch import save_file
    from transformers import Sam3VideoConfig, Sam3VideoModel

    tracker = {
        "vision_config": _sam3_vision(),
        "prompt_encoder_config": {"hidden_size": WIDTH, "image_size": 112},
        "mask_decoder_config": DECODER,
        "image_size": 112,
        **MEMORY,
    }
    config = Sam3VideoConfig(detector_config=_sam3_detector(), tracker_config=tracker)
    config.architectures = ["Sam3VideoModel"]
    weights = _with_random_weights(Sam3VideoModel(config)).state_dict()
    config.save_pretrained(folder)
    # save_pretrained of transformers 5.23 names the tracker's weights differently from the file on the hub.
    save_file(
        {name: weight.clone() for name, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    _sam3_processor().save_pretrained(folder)


def build_sam3_detector(folder: Path) -> None:
    """SAM 3 without a tracker."""
    from transformers import Sam3Config, Sam3Model

    _save(folder, Sam3Model(Sam3Config(**_sam3_detector())), _sam3_processor())


def _sam_config() -> dict[str, Any]:
    return {
        "vision_config": {
            "hidden_size": WIDTH,
            "output_channels": WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 128,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": WIDTH // 2,
        },
        "prompt_encoder_config": {"hidden_size": WIDTH, "image_size": 128},
    }


def _sam_image_processor() -> Any:
    from transformers import SamImageProcessor

    return SamImageProcessor(size={"longest_edge": 128}, pad_size={"height": 128, "width": 128})


def _sam3_vision() -> dict[str, Any]:
    backbone = {
        "model_type": "sam3_vit_model", "image_size": 112, "pretrain_image_size": 56, "window_size": 4,
        "num_hidden_layers": 2, "global_attn_indexes": [1], **LAYERS,
    }  # fmt: skip
    sizes = [[32, 32], [16, 16], [8, 8]]
    return {
        "model_type": "sam3_vision_model", "fpn_hidden_size": WIDTH, "backbone_feature_sizes": sizes,
        "backbone_config": backbone,
    }  # fmt: skip


def _sam3_detector() -> dict[str, Any]:
    tokenizer = clip_tokenizer()
    text = {
        "model_type": "clip_text_model", "vocab_size": len(tokenizer), "num_hidden_layers": 1, "projection_dim": WIDTH,
        "max_position_embeddings": 32, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, **LAYERS,
    }  # fmt: skip
    return {
        "model_type": "sam3",
        "vision_config": _sam3_vision(),
        "text_config": text,
        "geometry_encoder_config": {"num_layers": 1, **LAYERS},
        "detr_encoder_config": {"num_layers": 1, **LAYERS},
        "detr_decoder_config": {"num_layers": 1, "num_queries": 10, **LAYERS},
        "mask_decoder_config": {"hidden_size": WIDTH, "num_attention_heads": 2},
    }


def _sam3_processor() -> Any:
    from transformers import Sam3ImageProcessor, Sam3Processor

    return Sam3Processor(Sam3ImageProcessor(size={"height": 112, "width": 112}), clip_tokenizer())


def _save(folder: Path, model: Any, processor: Any) -> None:
    _with_random_weights(model).save_pretrained(folder)
    processor.save_pretrained(folder)


def _with_random_weights(model: Any) -> Any:
    """The model with weights that are the same every time, and with confident masks in most places."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("positional_embedding"):  # it encodes the positions of points, and is not a parameter
                buffer.copy_(torch.randn(buffer.shape, generator=generator))
        for name, weight in spread(model, matrices=0.1).named_parameters():
            if "hypernetworks" in name and "proj_out" in name:
                weight.mul_(100)
    return model
