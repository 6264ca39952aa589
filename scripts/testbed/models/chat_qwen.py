"""The vision-language models of the Qwen family: images of any size, and positions in three dimensions."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.tokenizers import ENDS, byte_level, chat_template
from scripts.demo_models.weights import TEXT
from scripts.testbed.models.chat import ends, save

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

_VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_ROPE = {"rope_type": "default", "rope_theta": 1e6}


def build_qwen2_vl(folder: Path) -> None:
    """Qwen2-VL, the first of them."""
    import transformers

    vision = {"depth": 2, "embed_dim": 32, "hidden_size": TEXT["hidden_size"], "num_heads": 2, "mlp_ratio": 2}
    text = {"rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]}, **TEXT}
    _save(folder, "Qwen2VL", text, vision, transformers.Qwen2VLVideoProcessor())


def build_qwen2_5_vl(folder: Path, **shape: Any) -> None:
    """Qwen2.5-VL. `shape` is that of the language model."""
    import transformers

    text = {**TEXT, **shape}
    eighth = text["hidden_size"] // text["num_attention_heads"] // 8
    text["rope_parameters"] = {**_ROPE, "mrope_section": [eighth, eighth, 2 * eighth]}
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": text["hidden_size"],
        "fullatt_block_indexes": [1], "window_size": 56,
    }  # fmt: skip
    _save(folder, "Qwen2_5_VL", text, vision, transformers.Qwen2VLVideoProcessor())


def build_qwen3_vl(folder: Path) -> None:
    """Qwen3-VL: what it sees is added in several layers of the language model."""
    import transformers

    rope = {**_ROPE, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 14,
        "out_hidden_size": TEXT["hidden_size"], "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    text = {"head_dim": 8, "rope_parameters": rope, **TEXT}
    _save(folder, "Qwen3VL", text, vision, transformers.Qwen3VLVideoProcessor(), patch_size=14)


def _save(folder: Path, family: str, text: Any, vision: Any, videos: Any, **images: Any) -> None:
    """Build and write a model of the family's classes, given the configurations of its two halves."""
    import transformers

    tokens = byte_level((*ENDS, *_VISION_TOKENS), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    start, end, image, video = tokens.convert_tokens_to_ids(list(_VISION_TOKENS))
    config = getattr(transformers, f"{family}Config")(
        text_config={"vocab_size": len(tokens), **ends(tokens), **text},
        vision_config=vision,
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    template = chat_template("<|vision_start|><|image_pad|><|vision_end|>")
    image_processor = transformers.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112, **images)
    processor = getattr(transformers, f"{family}Processor")(image_processor, tokens, videos, chat_template=template)
    save(folder, getattr(transformers, f"{family}ForConditionalGeneration")(config), tokens, processor)
