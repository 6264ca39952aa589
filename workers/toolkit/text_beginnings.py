"""Finds a beginning of a long text with more tokens than a model reads, so that the rest need not be tokenized."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workers.toolkit.tokenizer_breaks import certain_break

_CHARACTERS = 8
"""Characters of the first beginning for each token that the model reads. Most texts have fewer for a token."""
_GROWTH = 4
"""How much longer the next beginning is than one that has too few tokens."""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens a text has, including special ones; at least so many, unless `is_whole`."""

    tokens: int
    is_whole: bool = True

    def excess(self, limit: int) -> str:
        """How a sentence says that these are more than a limit."""
        if self.is_whole:
            return f"{self.tokens} tokens, {self.tokens - limit} more than the {limit}"
        return f"more than {self.tokens} tokens, many more than the {limit}"

    def details(self, limit: int) -> dict[str, int]:
        """The numbers of an error, as far as they are known."""
        return ({"tokens": self.tokens} if self.is_whole else {}) | {"limit": limit}


class TextBeginnings:
    """Beginnings of texts, for one tokenizer. Tokenizers of which nothing is certain get all texts whole."""

    def __init__(self, tokenizer: Any) -> None:
        from transformers import PreTrainedTokenizerBase

        wrapped = getattr(tokenizer, "_tokenizer", None)  # as mlx-lm has it
        self._tokenizer = wrapped if isinstance(wrapped, PreTrainedTokenizerBase) else tokenizer

    @cached_property
    def _break(self) -> re.Pattern[str] | None:
        return certain_break(self._tokenizer)

    @staticmethod
    def is_short(characters: int, tokens: int) -> bool:
        """Whether a text is tokenized whole anyway, if the model reads `tokens`."""
        return characters <= 2 * _CHARACTERS * tokens

    def beginning(self, text: str, tokens: int | None, *, after: int = 0) -> str:
        """A beginning of a text that has more than `tokens` tokens, not counting special ones, all of them the text's.

        The whole text, if it is short, or if its first tokens cannot be known without the rest. `after`: the beginning
        has more characters than this.
        """
        if tokens is None or self.is_short(len(text), tokens):
            return text
        size = _CHARACTERS * tokens + after
        while 2 * size <= len(text) and self._break is not None:
            place = self._break.search(text, size, 2 * size)
            if place is not None and self._count(text[: place.start()]) > tokens:
                return text[: place.start()]
            size *= _GROWTH
        return text

    def count(self, text: str, limit: int | None) -> TokenCount:
        """How many tokens a text has, of which a model reads `limit`."""
        beginning = self.beginning(text, limit)
        return TokenCount(len(self._tokenizer(beginning, verbose=False)["input_ids"]), len(beginning) == len(text))

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
