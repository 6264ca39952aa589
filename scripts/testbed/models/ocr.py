"""OCR models that generate text, with a few thousand random weights each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.chat import settle_generation
from scripts.demo_models.tokenizers import byte_level
from scripts.demo_models.weights import TEXT, VISION, spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

_BART = ("<s>", "<pad>", "</s>", "<unk>")
_ROLES = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
_PADDLE = ("<unk>", "<s>", "</s>", "<|IMAGE_PLACEHOLDER|>", "<|IMAGE_START|>", "<|IMAGE_END|>", "<|video_pad|>")
_PADDLE_TEMPLATE = (
    "<s>{% for message in messages %}User: {% for part in message.content %}"
    "{% if part.type == 'image' %}<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}\n{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}"
)


def build_trocr(folder: Path) -> None:
    """TrOCR: a ViT encoder and a decoder with a context of 64 tokens."""
    from transformers import (
        TrOCRConfig,
        TrOCRProcessor,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    tokenizer = byte_level(_BART, **_ROLES)
    ids = _token_ids(tokenizer)
    decoder = TrOCRConfig(
        vocab_size=len(tokenizer), d_model=32, decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=64,
        max_position_embeddings=64, cross_attention_hidden_size=32, is_decoder=True, add_cross_attention=True, **ids,
    )  # fmt: skip
    encoder = ViTConfig(**VISION, image_size=64, patch_size=16)
    config = VisionEncoderDecoderConfig(encoder=encoder.to_dict(), decoder=decoder.to_dict(), **ids)
    processor = TrOCRProcessor(ViTImageProcessor(size={"height": 64, "width": 64}), tokenizer)
    _save(folder, VisionEncoderDecoderModel(config), processor, decoder_start_token_id=ids["decoder_start_token_id"])


def build_florence2(folder: Path) -> None:
    """Florence-2: a DaViT encoder and a BART whose last thousand tokens are locations."""
    from transformers import (
        BartConfig,
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    locations = [f"<loc_{bin_}>" for bin_ in range(1000)]
    extra = {"extra_special_tokens": {"image_token": "<image>"}}
    tokenizer = byte_level((*_BART, "<image>", *locations), **_ROLES, **extra, padding_side="right")
    ids = _token_ids(tokenizer)
    vision = {
        "depths": [1] * 4, "embed_dim": [8, 8, 16, 32], "num_heads": [1, 1, 2, 2], "num_groups": [1, 1, 2, 2],
        "window_size": 4, "projection_dim": 32, "max_temporal_embeddings": 4, "max_position_embeddings": 8,
    }  # fmt: skip
    text = BartConfig(
        vocab_size=len(tokenizer), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=256, **ids,
    )  # fmt: skip
    image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    image_processor = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False, image_seq_length=5)
    config = Florence2Config(vision_config=vision, text_config=text, image_token_id=image_token_id)
    processor = Florence2Processor(image_processor, tokenizer, post_processor_config={"ocr": {}})
    _save(
        folder,
        Florence2ForConditionalGeneration(config),
        processor,
        decoder_start_token_id=ids["decoder_start_token_id"],
    )


def build_got_ocr2(folder: Path) -> None:
    """GOT-OCR2: SAM's encoder and a Qwen2; an image takes 256 tokens."""
    from transformers import (
        GotOcr2Config,
        GotOcr2ForConditionalGeneration,
        GotOcr2ImageProcessor,
        GotOcr2Processor,
        Qwen2Config,
    )

    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<imgpad>")
    tokenizer = byte_level(specials, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    vision = {
        "hidden_size": 32, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 256,
        "patch_size": 4, "window_size": 8, "global_attn_indexes": [], "mlp_dim": 32,
    }  # fmt: skip
    config = GotOcr2Config(
        vision_config=vision,
        text_config=Qwen2Config(
            vocab_size=len(tokenizer), bos_token_id=256, eos_token_id=256, pad_token_id=256, **TEXT
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<imgpad>"),
        image_seq_length=256,
    )
    processor = GotOcr2Processor(GotOcr2ImageProcessor(size={"height": 256, "width": 256}), tokenizer)
    _save(folder, GotOcr2ForConditionalGeneration(config), processor)


def build_paddleocr_vl(folder: Path) -> None:
    """PaddleOCR-VL: an encoder for images of any size and an ERNIE."""
    from transformers import (
        PaddleOCRVLConfig,
        PaddleOCRVLForConditionalGeneration,
        PaddleOCRVLImageProcessor,
        PaddleOCRVLProcessor,
    )

    roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"}
    image = {"extra_special_tokens": {"image_token": "<|IMAGE_PLACEHOLDER|>"}}
    tokenizer = byte_level(_PADDLE, **roles, **image)
    pad, bos, eos, image_token, image_start, image_end, video = tokenizer.convert_tokens_to_ids(list(_PADDLE))
    rope = {"rope_type": "default", "rope_theta": 1e5, "mrope_section": [1, 1, 2]}
    text = {
        "vocab_size": len(tokenizer), "head_dim": 8, "tie_word_embeddings": False, "pad_token_id": pad,
        "bos_token_id": bos, "eos_token_id": eos, "rope_parameters": rope, **TEXT,
    }  # fmt: skip
    config = PaddleOCRVLConfig(
        text_config=text, vision_config={**VISION, "image_size": 56, "patch_size": 14}, tie_word_embeddings=False,
        image_token_id=image_token, vision_start_token_id=image_start, vision_end_token_id=image_end,
        video_token_id=video,
    )  # fmt: skip
    image_processor = PaddleOCRVLImageProcessor(min_pixels=56 * 56, max_pixels=84 * 84)
    processor = PaddleOCRVLProcessor(image_processor, tokenizer, chat_template=_PADDLE_TEMPLATE)
    _save(folder, PaddleOCRVLForConditionalGeneration(config), processor)


def _token_ids(tokenizer: Any) -> dict[str, int]:
    token_ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return {**token_ids, "pad_token_id": tokenizer.pad_token_id, "decoder_start_token_id": tokenizer.eos_token_id}


def _save(folder: Path, model: Any, processor: Any, **settings: Any) -> None:
    settle_generation(spread(model), processor.tokenizer, **settings)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
