"""Tokens of texts, and texts of tokens, as a tokenizer has them: without a chat template."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from workers.toolkit.chat.fill_in_middle import FillInMiddle, find_fill_in_middle

_END_TOKENS = 16
"""More tokens than the mark has with which a chat template begins a thought."""


class Tokenization:
    """What the preparation of prompts reads from a tokenizer in every chat engine."""

    _tokenizer: Any

    def tokens_of(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text; `special`: with those that the tokenizer adds, such as BOS."""
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=special)
        return tokens

    def texts_of(self, tokens: list[int]) -> list[str]:
        """Each token as the vocabulary writes it."""
        texts: list[str] = self._tokenizer.convert_ids_to_tokens(tokens)
        return texts

    def text_of(self, tokens: list[int], *, skip_special: bool = False) -> str:
        """The text of tokens."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=skip_special, clean_up_tokenization_spaces=False)
        return text

    @property
    def begin_token(self) -> int | None:
        """The token with which the tokenizer begins texts, if it has one."""
        token: int | None = self._tokenizer.bos_token_id
        return token

    @cached_property
    def fill_in_middle(self) -> FillInMiddle | None:
        """How the model fills in the middle of texts; None if its vocabulary has no tokens for it."""
        return find_fill_in_middle(self._tokenizer)

    def _end_of(self, tokens: Any) -> str:
        """The last text of a prompt, with its control tokens."""
        text: str = self._tokenizer.decode(tokens[-_END_TOKENS:], skip_special_tokens=False)
        return text
