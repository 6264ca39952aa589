"""Follows one answer through its grammar: which tokens may come next, and whether the answer is complete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contract.errors import EngineFailed, ServeError

_MOMENT = 0.01
"""For how long a model without other work waits for a grammar before it looks for new requests, in seconds."""


@dataclass(slots=True)
class CompiledGrammar:
    """A grammar for one model's vocabulary: llguidance's `matcher` at the start of an answer, the number of tokens, and
    the token that the matcher allows where the answer may end.

    Copies of the matcher share what it learns of the grammar. `has_failed`: one of them has reached a limit, which the
    next would reach too.
    """

    matcher: Any
    tokens: int
    end_token: int
    has_failed: bool = False


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
        self.tokens = 0
        """The number of tokens of the answer so far."""

    @property
    def is_compiled(self) -> bool:
        """Whether its grammar is compiled, or has failed to compile. Until then, whatever needs the grammar waits."""
        return self._compiled.done()

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

    def is_complete(self, tokens: int) -> bool:
        """Whether the answer is complete with its first `tokens` tokens."""
        return self.complete_after is not None and tokens >= self.complete_after

    def advance(self, number: int, token: int) -> None:
        """Add token `number` of the answer, counted from 1. One that has been added already is ignored.

        A sampler that picks tokens before the answer has got the last one adds them itself.
        """
        if number <= self.tokens:
            return
        self.tokens = number
        if token in self.end_tokens or not self.is_active:
            return
        if not self.matcher.consume_token(token):
            self.fail(self.matcher.get_error())
        elif self.matcher.is_stopped():
            self.complete_after = number

    def fail(self, reason: str) -> None:
        """Give the answer up."""
        first_line = reason.partition("\n")[0]
        if self.grammar is not None:
            self.grammar.has_failed = True
        self.error = EngineFailed(f"The answer could not be held to its grammar: {first_line}")


def wait_a_moment(constraints: Iterable[TokenConstraint]) -> None:
    """Wait until one of the constraints is compiled, and only briefly, since other requests may arrive meanwhile."""
    compiling = [constraint._compiled for constraint in constraints]
    futures.wait(compiling, timeout=_MOMENT, return_when=futures.FIRST_COMPLETED)
