"""Captioning models: a BLIP with a few thousand random weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.weights import VISION, spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

CONTEXT = 40
"""The most tokens of a caption, prompt included."""
SIDE = 32
"""The height and width of the model's input in pixels."""


def build_blip(folder: Path) -> None:
    """BLIP for captions: a vision transformer and a BERT decoder."""
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    config = BlipConfig(
        vision_config={"image_size": SIDE, "patch_size": 8, **VISION},
        text_config=_text_config(tokenizer := _tokenizer()),
        projection_dim=32,
        image_text_hidden_size=32,
    )
    spread(BlipForConditionalGeneration(config), matrices=0.3).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer).save_pretrained(folder)


def build_blip_vqa(folder: Path) -> None:
    """BLIP for visual question answering: the same `model_type`, but another architecture."""
    from transformers import BlipConfig, BlipForQuestionAnswering

    config = BlipConfig(
        vision_config={"image_size": SIDE, "patch_size": 8, **VISION}, text_config=_text_config(_tokenizer())
    )
    spread(BlipForQuestionAnswering(config)).save_pretrained(folder)


def _text_config(tokenizer: Any) -> dict[str, Any]:
    begin, end, pad = tokenizer.convert_tokens_to_ids(["[DEC]", "[SEP]", "[PAD]"])
    return {
        "vocab_size": len(tokenizer), "encoder_hidden_size": 32, "max_position_embeddings": CONTEXT,
        "bos_token_id": begin, "eos_token_id": end, "sep_token_id": end, "pad_token_id": pad,
        "tie_word_embeddings": False, **VISION,
    }  # fmt: skip


def _tokenizer() -> Any:
    """A WordPiece tokenizer with some words and every character as pieces; `[DEC]` starts a caption."""
    from transformers import BertTokenizer

    words = ["a", "the", "photo", "of", "red", "blue", "cat", "dog", "house", "tree", "with", "in", "on"]
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    pieces = [*specials, *words, *characters, *(f"##{char}" for char in characters)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    return BertTokenizer(vocab=vocabulary, model_max_length=512, additional_special_tokens=["[DEC]"])
