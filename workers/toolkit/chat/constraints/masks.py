"""Computes which tokens may come next in the rows of a batch, in a thread of its own while the model runs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from workers.toolkit.chat.constraints.token_constraint import TokenConstraint


class RowMasks:
    """The masks of a step's rows. Making one begins to compute them; no row may advance before `take`."""

    def __init__(self, constraints: Sequence[TokenConstraint | None], width: int) -> None:
        self.rows = [row for row, constraint in enumerate(constraints) if constraint is not None]
        """The constrained rows; none: there are no masks."""
        constrained = [constraint for constraint in constraints if constraint is not None]
        self._masks: Future[Any] | None = _thread().submit(allowed_tokens, constrained, width) if self.rows else None

    def take(self) -> Any:
        """Which tokens are allowed: booleans (constrained rows, width of the scores)."""
        assert self._masks is not None, "no row is constrained"
        return self._masks.result()


def allowed_tokens(constraints: Sequence[TokenConstraint], width: int) -> Any:
    """Which tokens each constraint allows: booleans (constraints, width). Waits for grammars that are being compiled.

    The vocabulary may have fewer tokens than the model has scores, or more.
    """
    from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par

    allowed: Any = np.ones((len(constraints), width), np.bool_)
    for row, item in enumerate(constraints):
        if item.is_complete(item.tokens):  # a sampler may ask for a token more
            allowed[row] = False
            allowed[row, item.end_tokens] = True
    active = [(row, item, item.grammar) for row, item in enumerate(constraints) if item.is_active and item.grammar]
    if not active:
        return allowed
    words = allocate_token_bitmask(len(active), active[0][2].tokens)
    fill_next_token_bitmask_par(
        _executor(), [(item.matcher, place) for place, (_, item, _) in enumerate(active)], words
    )
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little").view(np.bool_)
    for place, (row, item, grammar) in enumerate(active):
        may_end = bits[place, grammar.end_token]
        bits[place, [grammar.end_token, *item.end_tokens]] = [False, *[may_end] * len(item.end_tokens)]
        if item.matcher.is_error() or not bits[place].any():
            item.fail(item.matcher.get_error() or "no token of the model's vocabulary continues it")
            continue
        allowed[row] = False
        allowed[row, : bits.shape[1]] = bits[place, :width]
    return allowed


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "masks")


@cache
def _executor() -> Any:
    """Computes the masks of several rows at once, without Python's lock."""
    import llguidance

    return llguidance.LLExecutor(2)
