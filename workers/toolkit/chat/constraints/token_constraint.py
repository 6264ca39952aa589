"""Follows one answer through its grammar: which tokens may come next, and whether the answer is complete."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contract.errors import EngineFailed, ServeError


@dataclass(frozen=True, slots=True)
class CompiledGrammar:
    """A grammar for one model's vocabulary: llguidance's `matcher` at the start of an answer, the number of tokens, and
    the token that the matcher allows where the answer may end."""

    matcher: Any
    tokens: int
    end_token: int


class TokenConstraint:
    """The state of one constrained answer.

    `compiled` is shared with other answers; this answer works on a copy of its matcher. `end_tokens` end an answer.
    """

    def __init__(self, compiled: Future[CompiledGrammar], end_tokens: Sequence[int]) -> None:
        self._compiled = compiled
        self.end_tokens = end_tokens
        self.complete_after: int | None = None
        """The number of tokens after which the answer is complete and nothing can follow, once that is known."""
        self.error: ServeError | None = None
        """Why the answer cannot go on, if it cannot."""
        self._tokens = 0

    @cached_property
    def grammar(self) -> CompiledGrammar | None:
        """The grammar, once it is compiled; None, with `error` set, if that fails."""
        try:
            return self._compiled.result()
        except ServeError as error:
            self.error = error
            return None

    @cached_property
    def matcher(self) -> Any:
        """The matcher of this answer."""
        assert self.grammar is not None, "a grammar that failed restricts nothing"
        return self.grammar.matcher.deep_copy()

    @property
    def is_active(self) -> bool:
        """Whether it restricts the next token. Waits until the grammar is compiled."""
        return self.grammar is not None and self.complete_after is None and self.error is None

    def advance(self, token: int) -> None:
        """Add the next token of the answer."""
        self._tokens += 1
        if token in self.end_tokens or not self.is_active:
            return
        if not self.matcher.consume_token(token):
            self.error = EngineFailed(f"The answer could not be held to its grammar: {self.matcher.get_error()}")
        elif self.matcher.is_stopped():
            self.complete_after = self._tokens
