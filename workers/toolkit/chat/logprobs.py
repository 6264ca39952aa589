"""The probabilities of an answer's tokens, in the format of OpenAI's API."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from contract.tasks.chat import TokenLogprob, TopLogprob
from workers.toolkit.chat.constraints.vocabulary import byte_reader

LEAST = -9999.0
"""Stands for the logarithm of zero, which JSON cannot express; OpenAI's API has the same number."""


class PickedToken(NamedTuple):
    """A token, the natural logarithm of its probability before sampling, and the most probable tokens with theirs."""

    token: int
    logprob: float
    top: Sequence[tuple[int, float]] = ()


def are_numbers(picked: Sequence[PickedToken]) -> bool:
    """Whether the probabilities are numbers: those of broken weights are not."""
    return not any(math.isnan(token.logprob) for token in picked)


class TokenTexts:
    """Tokens as text and bytes."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def entry(self, picked: PickedToken) -> TokenLogprob:
        """A token as the answer reports it."""
        top = [TopLogprob(**self._fields(token, logprob)) for token, logprob in picked.top]
        return TokenLogprob(**self._fields(picked.token, picked.logprob), top_logprobs=top)

    def text(self, token: int) -> str:
        """The text of a token; what is not a whole character is replaced."""
        return self._read(token).decode(errors="replace")

    def _fields(self, token: int, logprob: float) -> dict[str, Any]:
        content = self._read(token)
        return {
            "token": content.decode(errors="replace"),
            "logprob": max(logprob, LEAST),
            "bytes": list(content),
        }

    @cached_property
    def _read(self) -> Callable[[int], bytes]:
        """Returns the bytes of a token. An unusual tokenizer can only give its text."""
        try:
            return byte_reader(self._tokenizer)
        except (AttributeError, ValueError):
            return lambda token: str(self._tokenizer.decode([token])).encode()
