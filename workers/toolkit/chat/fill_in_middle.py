"""How models for code fill in the middle of a text: the control tokens around what comes before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FillInMiddle:
    """The ids of a model's control tokens. `ends` are further tokens that end what it fills in.

    Without a `middle`, the text after the gap comes first (Codestral).
    """

    prefix: int
    suffix: int
    middle: int | None
    ends: frozenset[int]

    def tokens(self, before: Sequence[int], after: Sequence[int]) -> list[int]:
        """The prompt for the gap between two texts, given their tokens."""
        if self.middle is None:
            return [self.suffix, *after, self.prefix, *before]
        return [self.prefix, *before, self.suffix, *after, self.middle]


_FORMS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5-Coder, CodeGemma
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder 2, Granite
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),  # SantaCoder
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek-Coder
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),  # Code Llama
    ("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),  # GLM-4
    ("[PREFIX]", "[SUFFIX]", None),  # Codestral
)
_ENDS = ("<|fim_pad|>", "<|file_sep|>", "<|file_separator|>", "<|repo_name|>", "<|endoftext|>", "<fim_pad>", "▁<EOT>")


def find_fill_in_middle(tokenizer: Any) -> FillInMiddle | None:
    """The form of a model with this tokenizer, or None if its vocabulary has the tokens of none."""
    vocabulary = tokenizer.get_vocab()
    for prefix, suffix, middle in _FORMS:
        if all(token in vocabulary for token in (prefix, suffix, middle) if token is not None):
            ends = frozenset(vocabulary[token] for token in _ENDS if token in vocabulary)
            return FillInMiddle(
                vocabulary[prefix], vocabulary[suffix], None if middle is None else vocabulary[middle], ends
            )
    return None
