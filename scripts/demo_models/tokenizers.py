"""Builds tokenizers, without downloads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

ENDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""Special tokens of ChatML: padding, start of a turn, end of a turn."""


def byte_level(specials: Sequence[str], pieces: Any = (), **settings: Any) -> Any:
    """A byte-level BPE tokenizer without merges: each byte is a token, followed by the special tokens.

    A character beyond ASCII is several tokens, which is a hard case for streaming. `pieces` are further tokens, of
    bytes, which can be decoded, but which no text is encoded to.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map(written, pieces)]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(vocabulary)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(specials))
    settings = {"padding_side": "left", "model_max_length": 4096, **settings}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


def written(piece: bytes) -> str:
    """A token of a byte-level vocabulary as its files write it: each byte as a visible character (as in GPT-2)."""
    return "".join(_characters()[byte] for byte in piece)


@cache
def _characters() -> list[str]:
    """The character of each byte."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in visible]
    return [chr(byte) if byte in visible else chr(0x100 + others.index(byte)) for byte in range(0x100)]


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
