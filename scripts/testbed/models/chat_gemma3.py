"""Gemma 3, whose image tokens attend to each other in both directions."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.tokenizers import byte_level
from scripts.demo_models.weights import TEXT, VISION
from scripts.testbed.models.chat import ends, save

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

_GEMMA_TOKENS = {"boi_token": "<boi>", "eoi_token": "<eoi>", "image_token": "<image>"}
_GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message.role }}] "
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<boi>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def build_gemma3(folder: Path) -> None:
    """Gemma 3: an image's tokens see each other in both directions, and every other layer has a window."""
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
    images = Gemma3ImageProcessor(size={"height": 56, "width": 56})
    processor = Gemma3Processor(images, tokens, chat_template=_GEMMA_TEMPLATE, image_seq_length=4)
    save(folder, Gemma3ForConditionalGeneration(config), tokens, processor)
