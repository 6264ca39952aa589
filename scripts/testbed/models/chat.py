"""Chat models: language models and vision-language models with a few thousand random weights each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models import chat as demo
from scripts.demo_models.tokenizers import ENDS, byte_level, chat_template
from scripts.demo_models.weights import TEXT, VISION, spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers


def build_lm(folder: Path, **shape: Any) -> None:
    """A Qwen2, for text only."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    save_text(folder, Qwen2Config, Qwen2ForCausalLM, **{**TEXT, **shape})


def save_text(folder: Path, config: Any, model: Any, **shape: Any) -> None:
    """A text-only model of the given classes, with a token for each byte."""
    tokens = byte_level(ENDS, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=chat_template())
    settings = config(vocab_size=len(tokens), tie_word_embeddings=False, **ends(tokens), **shape)
    save(folder, model(settings), tokens, tokens)


def build_llama(folder: Path) -> None:
    """A Llama whose tokenizer has no padding token, and whose chat template refuses system messages."""
    from transformers import LlamaConfig, LlamaForCausalLM

    template = (
        "{{ bos_token }}{% for message in messages %}"
        "{% if message.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "[{{ message.role }}] {{ message.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    tokens = byte_level(("<s>", "</s>"), bos_token="<s>", eos_token="</s>", chat_template=template)
    config = LlamaConfig(vocab_size=len(tokens), **ends(tokens), **TEXT)
    save(folder, LlamaForCausalLM(config), tokens, tokens)


def build_smolvlm(folder: Path) -> None:
    """SmolVLM: images are cut into tiles."""
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    tokens = demo.tokenizer()
    image_processor, video_processor = SmolVLMImageProcessor(**demo.IMAGES), SmolVLMVideoProcessor()
    processor = SmolVLMProcessor(image_processor, tokens, video_processor, image_seq_len=4, chat_template=demo.TEMPLATE)
    save(folder, SmolVLMForConditionalGeneration(demo.configure(SmolVLMConfig, tokens)), tokens, processor)


def build_idefics3(folder: Path) -> None:
    """Idefics3, the larger predecessor of SmolVLM."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    tokens = demo.tokenizer()
    model = Idefics3ForConditionalGeneration(demo.configure(Idefics3Config, tokens))
    save(folder, model, tokens, demo.processor(tokens))


def build_llava(folder: Path) -> None:
    """LLaVA: a CLIP tower and a Llama; images have one size, and the template has no control tokens."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    specials = ("<pad>", "<s>", "</s>", "<image>")
    roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokens = byte_level(specials, **roles, extra_special_tokens={"image_token": "<image>"})
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=56, patch_size=14, **VISION),
        text_config=LlamaConfig(vocab_size=len(tokens), **ends(tokens), **TEXT),
        image_token_index=tokens.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    template = (
        "{% for message in messages %}{{ message.role | upper }}: {% for part in message.content %}"
        "{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }}{% endif %}{% endfor %} {% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        tokens,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    save(folder, LlavaForConditionalGeneration(config), tokens, processor)


def ends(tokens: Any) -> dict[str, int]:
    """The ids of the special tokens, as a configuration names them."""
    return {
        "bos_token_id": tokens.bos_token_id or 0,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }


def save(folder: Path, model: Any, tokens: Any, processor: Any) -> None:
    """Write a model with random weights and its processor, in the hub's layout."""
    demo.settle_generation(spread(model), tokens)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
