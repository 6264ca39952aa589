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

from scripts.demo_models.tokenizers import ENDS, byte_level, written

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

END = "<|im_end|>"
_PIECE = 3
"""The least number of bytes of a piece: so few that characters are split."""


def build(folder: Path, scripts: Mapping[str, str], template: str, marks: Sequence[str] = ()) -> None:
    """Save the model in `folder`.

    `scripts` are what it says, each by the control token with which the prompt ends. `marks` are further control
    tokens, of which each may occur once in all scripts.
    """
    used: set[bytes] = set()
    chains = {start: list(_pieces(script, marks, used)) for start, script in scripts.items()}
    pieces = [piece for chain in chains.values() for piece in chain if isinstance(piece, bytes)]
    specials = (*ENDS, *marks, *scripts)
    tokens = byte_level(specials, pieces, eos_token=END, pad_token="<|endoftext|>", chat_template=template)
    successors: dict[int, int] = {}
    for start, chain in chains.items():
        names = [start, *(piece if isinstance(piece, str) else written(piece) for piece in chain), END]
        successors |= dict(pairwise(tokens.convert_tokens_to_ids(names)))
    _model(tokens, successors).save_pretrained(folder)
    tokens.save_pretrained(folder)


def _pieces(script: str, marks: Sequence[str], used: set[bytes]) -> Iterator[bytes | str]:
    """The script in pieces, none of which is among the `used` ones; marks are pieces of their own."""
    pattern = "|".join(map(re.escape, marks)) or "(?!)"
    for part in re.split(f"({pattern})", script):
        if part in marks:
            yield part
            continue
        rest = part.encode()
        while rest:
            length = _PIECE
            while rest[:length] in used and length < len(rest):
                length += 1
            if len(rest) - length < _PIECE:
                length = len(rest)
            piece, rest = rest[:length], rest[length:]
            if piece in used:
                raise ValueError(f"the end of {script!r} occurs twice; change the script")
            used.add(piece)
            yield piece


def _model(tokens: Any, successors: Mapping[int, int]) -> Any:
    """A Llama without attention that maps each token to its successor, and all others to the end."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = len(tokens)
    width = size + -size % 4
    config = LlamaConfig(
        vocab_size=size, hidden_size=width, intermediate_size=4, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=8192, tie_word_embeddings=False, bos_token_id=0, eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1 if "norm" in name else 0)
        for token in range(size):
            model.model.embed_tokens.weight[token, token] = 1
            model.lm_head.weight[successors.get(token, tokens.eos_token_id), token] = 10
    model.generation_config.eos_token_id = tokens.eos_token_id
    return model
