"""Vision-language models that read pictures otherwise than those of `chat`: in several layers, in both directions."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.tokenizers import ENDS, byte_level, chat_template
from scripts.demo_models.weights import TEXT, VISION
from scripts.testbed.models.chat import VISION_TOKENS, ends, save

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

_GEMMA_TOKENS = {"boi_token": "<boi>", "eoi_token": "<eoi>", "image_token": "<image>"}
_GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message.role }}] "
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<boi>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def build_qwen2_vl(folder: Path) -> None:
    """Qwen2-VL, the first model with positions in three dimensions."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokens = byte_level((*ENDS, *VISION_TOKENS), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    start, end, image, video = tokens.convert_tokens_to_ids(list(VISION_TOKENS))
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": TEXT["hidden_size"], "num_heads": 2, "mlp_ratio": 2}
    config = Qwen2VLConfig(
        text_config={"vocab_size": len(tokens), "rope_parameters": rope, **ends(tokens), **TEXT},
        vision_config=vision,
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    template = chat_template("<|vision_start|><|image_pad|><|vision_end|>")
    image_processor = Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112)
    processor = Qwen2VLProcessor(image_processor, tokens, Qwen2VLVideoProcessor(), chat_template=template)
    save(folder, Qwen2VLForConditionalGeneration(config), tokens, processor)


def build_qwen3_vl(folder: Path) -> None:
    """Qwen3-VL: what it sees is added in several layers of the language model."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokens = byte_level((*ENDS, *VISION_TOKENS), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    start, end, image, video = tokens.convert_tokens_to_ids(list(VISION_TOKENS))
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 14,
        "out_hidden_size": TEXT["hidden_size"], "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config={"vocab_size": len(tokens), "head_dim": 8, "rope_parameters": rope, **ends(tokens), **TEXT},
        vision_config=vision,
        vision_start_token_id=start,
        vision_end_token_id=end,
        image_token_id=image,
        video_token_id=video,
    )
    template = chat_template("<|vision_start|><|image_pad|><|vision_end|>")
    pictures = Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112, patch_size=14)
    processor = Qwen3VLProcessor(pictures, tokens, Qwen3VLVideoProcessor(), chat_template=template)
    save(folder, Qwen3VLForConditionalGeneration(config), tokens, processor)


def build_gemma3(folder: Path) -> None:
    """Gemma 3: a picture's tokens see each other in both directions, and every other layer has a window."""
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        SiglipVisionConfig,
    )

    specials = ("<pad>", "<s>", "</s>", *_GEMMA_TOKENS.values())
    roles: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokens = byte_level(specials, **roles, extra_special_tokens=_GEMMA_TOKENS)
    windows = {"sliding_window": 24, "layer_types": ["sliding_attention", "full_attention"]}
    begin, end, image = tokens.convert_tokens_to_ids(list(_GEMMA_TOKENS.values()))
    config = Gemma3Config(
        text_config={"vocab_size": len(tokens), "head_dim": 8, **ends(tokens), **windows, **TEXT},
        vision_config=SiglipVisionConfig(image_size=56, patch_size=14, **VISION).to_dict(),
        mm_tokens_per_image=4,
        boi_token_index=begin,
        eoi_token_index=end,
        image_token_index=image,
        **ends(tokens),
    )
    pictures = Gemma3ImageProcessor(size={"height": 56, "width": 56})
    processor = Gemma3Processor(pictures, tokens, chat_template=_GEMMA_TEMPLATE, image_seq_length=4)
    save(folder, Gemma3ForConditionalGeneration(config), tokens, processor)
