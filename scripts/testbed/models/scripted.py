"""A Llama whose weights make it say a script: its answer does not depend on luck, but everything around it is real.

Every piece of a script is a token of its own, and each token has one successor, the next piece. A prompt's last token
starts a script, so the chat template chooses one: by the conversation's last message, for example.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from scripts.demo_models import chat as demo
from scripts.demo_models.tokenizers import ENDS, byte_level, written
from scripts.demo_models.weights import VISION

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

END = "<|im_end|>"
_PIECE = 3
"""The least number of bytes of a piece: so few that characters are split."""
CUT = "\x1f"
"""Ends a piece in a script that has its own pieces.

While an answer is held to a form, text that must come, such as the name of a property, has to come in the tokens to
which the tokenizer encodes it. No piece is one of those, so pieces must end where the form leaves a choice: in strings.
"""


def build(
    folder: Path,
    scripts: Mapping[str, str],
    template: str,
    marks: Sequence[str] = (),
    *,
    vision: bool = False,
    context: int = 8192,
) -> None:
    """Save the model in `folder`: a Llama, or with `vision` a SmolVLM, which reads images but does not see them.

    `scripts` are what it says, each by the control token with which the prompt ends. `marks` are further control
    tokens, of which each may occur once in all scripts.
    """
    used: set[bytes] = set()
    chains = {start: list(_pieces(script, marks, used)) for start, script in scripts.items()}
    pieces = [piece for chain in chains.values() for piece in chain if isinstance(piece, bytes)]
    specials = (*(demo.SPECIALS if vision else ENDS), *marks, *scripts)
    ends = {"eos_token": END, "pad_token": "<|endoftext|>", "model_max_length": context}
    tokens = byte_level(specials, pieces, **ends, chat_template=template)
    successors: dict[int, int] = {}
    for start, chain in chains.items():
        names = [start, *(piece if isinstance(piece, str) else written(piece) for piece in chain), END]
        successors |= dict(pairwise(tokens.convert_tokens_to_ids(names)))
    text = _text_config(tokens, context)
    _scripted(_vision_model(text, tokens) if vision else _language_model(text), successors).save_pretrained(folder)
    (_vision_processor(tokens, template) if vision else tokens).save_pretrained(folder)


def _pieces(script: str, marks: Sequence[str], used: set[bytes]) -> Iterator[bytes | str]:
    """The script in pieces, none of which is among the `used` ones; marks are pieces of their own."""
    pattern = "|".join(map(re.escape, marks)) or "(?!)"
    for part in re.split(f"({pattern})", script):
        if part in marks:
            yield part
        else:
            yield from _unused_pieces(part.encode(), used)


def _unused_pieces(text: bytes, used: set[bytes]) -> list[bytes]:
    """Cut a text into pieces that are not among the `used` ones, and add them to those."""
    pieces: list[bytes] = []
    for piece in text.split(CUT.encode()) if CUT.encode() in text else _short_pieces(text, used):
        whole = piece
        while whole in used and pieces:  # the end of an earlier script, too
            used.remove(pieces[-1])
            whole = pieces.pop() + whole
        if whole in used:
            raise ValueError(f"{whole!r} is a whole script twice; change one of them")
        used.add(whole)
        pieces.append(whole)
    return pieces


def _short_pieces(rest: bytes, used: set[bytes]) -> Iterator[bytes]:
    """A text in pieces that are as short as possible."""
    while rest:
        length = _PIECE
        while rest[:length] in used and length < len(rest):
            length += 1
        if len(rest) - length < _PIECE:
            length = len(rest)
        yield rest[:length]
        rest = rest[length:]


def _text_config(tokens: Any, context: int) -> Any:
    """A Llama whose hidden size has room for one value of each token."""
    from transformers import LlamaConfig

    size = len(tokens)
    return LlamaConfig(
        vocab_size=size, hidden_size=size + -size % 4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
        head_dim=4, max_position_embeddings=context, tie_word_embeddings=False, bos_token_id=0,
        eos_token_id=tokens.eos_token_id, pad_token_id=tokens.pad_token_id,
    )  # fmt: skip


def _language_model(text: Any) -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM(text)


def _vision_model(text: Any, tokens: Any) -> Any:
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    image_token = tokens.convert_tokens_to_ids("<image>")
    tower = {**VISION, "image_size": 64, "patch_size": 8}
    config = SmolVLMConfig(
        text_config=text, vision_config=tower, image_token_id=image_token, pad_token_id=text.pad_token_id,
        scale_factor=4, tie_word_embeddings=False,
    )  # fmt: skip
    return SmolVLMForConditionalGeneration(config)


def _vision_processor(tokens: Any, template: str) -> Any:
    from transformers import SmolVLMImageProcessor, SmolVLMProcessor, SmolVLMVideoProcessor

    images, videos = SmolVLMImageProcessor(**demo.IMAGES), SmolVLMVideoProcessor()
    return SmolVLMProcessor(images, tokens, videos, image_seq_len=4, chat_template=template)


def _scripted(model: Any, successors: Mapping[int, int]) -> Any:
    """The model without attention, mapping each token to its successor, and all others to the end."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1 if "norm" in name else 0)
        inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        end = model.config.get_text_config().eos_token_id
        for token in range(len(inputs)):
            inputs[token, token] = 1
            outputs[successors.get(token, end), token] = 10
    model.generation_config.eos_token_id = end
    return model
