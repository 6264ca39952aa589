"""Builds tokenizers, without downloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

ENDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Special tokens of ChatML: padding, start of a turn, end of a turn."""


def byte_level(specials: Sequence[str], **settings: Any) -> Any:
    """A byte-level BPE tokenizer without merges: each byte is a token, followed by the special tokens.

    A character beyond ASCII is several tokens, which is a hard case for streaming.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: number for number, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(specials))
    settings = {"padding_side": "left", "model_max_length": 4096, **settings}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


def chat_template(image: str = "", end: str = "<|im_end|>") -> str:
    """A ChatML template. `image` is the placeholder of an image, `end` closes a turn."""
    part = "{% if part.type == 'image' %}" + image + "{% else %}{{ part.text }}{% endif %}"
    content = (
        "{% if message.content is string %}{{ message.content }}"
        "{% else %}{% for part in message.content %}" + part + "{% endfor %}{% endif %}"
    )
    return (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n" + content + end + "\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
