"""Builds a tiny vision-language model with random weights: Idefics3, the family of SmolVLM."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.tokenizers import ENDS, byte_level, chat_template
from scripts.demo_models.weights import TEXT, VISION, spread

END = "<end_of_utterance>"
SPECIALS = (
    *ENDS, END, "<fake_token_around_image>", "<image>", "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)  # fmt: skip
IMAGES = {"size": {"longest_edge": 128}, "max_image_size": {"longest_edge": 64}}
TEMPLATE = chat_template("<image>", END)
_LEXICON = (
    "a the this that one two some many red blue green white dark bright small large round old new quiet quick "
    "box circle line river hill window garden bird cat dog fox tree stone cloud letter number image colour "
    "sees holds draws finds reads writes turns waits walks sings is was of in on with under over and or then , ."
)
WORDS = _LEXICON.split()


def tokenizer() -> Any:
    """A byte-level tokenizer with the special tokens of Idefics3."""
    return byte_level(SPECIALS, eos_token=END, pad_token="<|im_end|>")


def configure(config_class: Any, tokens: Any) -> Any:
    """The configuration of a tiny Idefics3 or SmolVLM for this tokenizer."""
    from transformers import LlamaConfig

    ids = {
        "pad_token_id": tokens.convert_tokens_to_ids("<|im_end|>"),
        "bos_token_id": tokens.convert_tokens_to_ids("<|im_start|>"),
        "eos_token_id": tokens.convert_tokens_to_ids(END),
    }
    return config_class(
        text_config=LlamaConfig(vocab_size=len(tokens), **ids, **TEXT),
        vision_config={**VISION, "image_size": 64, "patch_size": 8},
        image_token_id=tokens.convert_tokens_to_ids("<image>"),
        pad_token_id=ids["pad_token_id"],
        scale_factor=4,
    )


def settle_generation(model: Any, tokens: Any, **settings: Any) -> None:
    """Set the tokens that end and pad an answer, and other settings of generation."""
    model.generation_config.eos_token_id = tokens.eos_token_id
    model.generation_config.pad_token_id = tokens.pad_token_id
    for name, value in settings.items():
        setattr(model.generation_config, name, value)


def build(folder: Path) -> None:
    """Save the demo model in `folder`: it accepts images and answers with random words."""
    importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    tokens = tokenizer()
    tokens.add_tokens([word if word in ",." else f" {word}" for word in WORDS])
    model = spread(Idefics3ForConditionalGeneration(configure(Idefics3Config, tokens)))
    suppressed = [token for token in range(len(tokens) - len(WORDS)) if token != tokens.eos_token_id]
    settle_generation(model, tokens, do_sample=True, suppress_tokens=suppressed, max_new_tokens=40)
    model.save_pretrained(folder)
    processor(tokens).save_pretrained(folder)


def processor(tokens: Any) -> Any:
    """Converts images and text to the model's inputs."""
    from transformers import Idefics3ImageProcessor, Idefics3Processor

    image_processor = Idefics3ImageProcessor(**IMAGES)
    return Idefics3Processor(image_processor, tokens, image_seq_len=4, chat_template=TEMPLATE)
