"""Computes which tokens may come next in the rows of a batch, in a thread of its own while the model runs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from workers.toolkit.chat.constraints.token_constraint import CompiledGrammar, TokenConstraint


class RowMasks:
    """The masks of a step's rows. Making one begins to compute them; no row may advance before `take`."""

    def __init__(self, constraints: Sequence[TokenConstraint | None], width: int) -> None:
        self.rows = [row for row, constraint in enumerate(constraints) if constraint is not None]
        """The constrained rows; none: there are no masks."""
        constrained = [constraint for constraint in constraints if constraint is not None]
        self._masks: Future[Any] | None = _thread().submit(excluded_tokens, constrained, width) if self.rows else None

    def take(self) -> Any:
        """Which tokens are excluded: booleans (constrained rows, width of the scores)."""
        assert self._masks is not None, "no row is constrained"
        return self._masks.result()


def excluded_tokens(constraints: Sequence[TokenConstraint], width: int) -> Any:
    """Which tokens each constraint excludes: booleans (constraints, width). Waits for grammars that are being compiled.

    The vocabulary may have fewer tokens than the model has scores, or more. A constraint that has failed excludes none.
    """
    excluded: Any = np.zeros((len(constraints), width), np.bool_)
    for row, item in enumerate(constraints):
        if item.is_complete(item.tokens):  # a sampler may ask for a token more
            excluded[row] = True
            excluded[row, item.end_tokens] = False
    active = [(row, item, item.grammar) for row, item in enumerate(constraints) if item.is_active and item.grammar]
    if not active:
        return excluded
    allowed = _allowed([(item, grammar) for _, item, grammar in active], width)
    for (row, item, _), tokens in zip(active, allowed, strict=True):
        if item.matcher.is_error() or not tokens.any():
            item.fail(item.matcher.get_error() or "no token of the model's vocabulary continues it")
        else:
            np.logical_not(tokens, out=excluded[row])
    return excluded


def _allowed(rows: Sequence[tuple[TokenConstraint, CompiledGrammar]], width: int) -> Any:
    """Which tokens the matchers of the rows allow: booleans (rows, width). All of the rows have one vocabulary."""
    from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par

    words = allocate_token_bitmask(len(rows), rows[0][1].tokens)
    fill_next_token_bitmask_par(_executor(), [(item.matcher, place) for place, (item, _) in enumerate(rows)], words)
    packed = words.view(np.uint8)
    bits = np.unpackbits(packed, axis=1, count=width, bitorder="little").view(np.bool_)
    for place, (item, grammar) in enumerate(rows):
        may_end = bool(packed[place, grammar.end_token >> 3] >> (grammar.end_token & 7) & 1)
        if grammar.end_token < width:
            bits[place, grammar.end_token] = False
        bits[place, item.end_tokens] = may_end
    return bits


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "masks")


@cache
def _executor() -> Any:
    """Computes the masks of several rows at once, without Python's lock."""
    import llguidance

    return llguidance.LLExecutor(2)
