"""Draws the next tokens of many rows at once, each from its best-scored tokens.

A vocabulary has 150,000 tokens and more, of which `top_k`, `top_p` and `min_p` leave a few dozen. So the best tokens of
all rows are selected together and moved to the CPU in one transfer, and what a request asks for is applied to those. A
row for which they are too few is filtered whole, as transformers does it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.generation import logits_process as library

CANDIDATES = 256
"""How many tokens of a row are looked at first. Selecting more takes longer, and rows are seldom filtered whole."""

_OTHERS = (
    ("typical_p", library.TypicalLogitsWarper, 1.0),
    ("epsilon_cutoff", library.EpsilonLogitsWarper, 0.0),
    ("eta_cutoff", library.EtaLogitsWarper, 0.0),
)
"""Name in a generation configuration, class that applies it to the scores, and value at which it has no effect."""

Kept = tuple[Any, Any]
"""The ids of tokens, ascending, and their scores: two arrays."""


@dataclass(frozen=True, slots=True)
class TokenFilter:
    """From which tokens to draw, and how freely. `others` are rare filters of the library."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    others: tuple[Any, ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TokenFilter | None:
        """The filter for settings as in a generation configuration; None for greedy decoding."""
        if not settings.get("do_sample") or settings.get("temperature") == 0:
            return None
        names = ("temperature", "top_k", "top_p", "min_p")
        others = [(make, settings.get(name), neutral) for name, make, neutral in _OTHERS]
        return cls(
            **{name: settings[name] for name in names if settings.get(name) is not None},
            others=tuple(make(float(value)) for make, value, neutral in others if value not in (None, neutral)),
        )

    @property
    def is_free(self) -> bool:
        """Whether every token may be drawn."""
        return not (self.top_k or self.top_p < 1 or self.min_p or self.others)

    @property
    def is_narrow(self) -> bool:
        """Whether few tokens are usually left."""
        return bool(self.top_k or self.top_p < 1 or self.min_p)

    def of_best(self, scores: Any, total: float, *, are_all: bool) -> int | None:
        """How many of the best tokens are kept; None if that depends on further tokens.

        `scores` (tokens,) are divided by the temperature and descend. `total` is the logarithm of the sum of the
        exponentials of the whole row. `are_all`: there are no further tokens with a finite score.
        """
        count = len(scores)
        if self.top_k:
            count = int((scores >= scores[min(self.top_k, count) - 1]).sum())
            if count == len(scores) and not are_all:
                return None
            total = _log_total(scores[:count])
        if self.top_p < 1:
            shares = np.exp(scores[:count] - total)
            count = max(1, int((np.cumsum(shares) - shares < self.top_p).sum()))
        if self.min_p:
            count = min(count, max(1, int((scores >= scores[0] + math.log(self.min_p)).sum())))
        is_certain = are_all or scores[count - 1] > scores[-1]  # otherwise the cut is among equal scores
        return count if is_certain else None

    def of_whole(self, scores: Any) -> Kept:
        """The tokens that are kept of a whole row (vocabulary,)."""
        row = scores[None] / self.temperature
        if self.top_k:
            row = library.TopKLogitsWarper(self.top_k)(None, row)
        if self.top_p < 1:
            row = library.TopPLogitsWarper(self.top_p)(None, row)
        if self.min_p:
            row = library.MinPLogitsWarper(self.min_p)(None, row)
        [ids] = row[0].isneginf().logical_not().nonzero(as_tuple=True)
        return self.refined(ids.cpu().numpy(), row[0, ids].double().cpu().numpy())

    def refined(self, ids: Any, scores: Any) -> Kept:
        """What the other filters leave of tokens that are sorted by their ids."""
        if self.others:
            row = torch.from_numpy(scores)[None]
            for other in self.others:
                row = other(None, row)
            kept = ~np.isneginf(row[0].numpy())
            ids, scores = ids[kept], scores[kept]
        return ids, scores


def draw(scores: Any, filters: Sequence[TokenFilter], generators: Sequence[torch.Generator]) -> list[int]:
    """A token for each row of scores (rows, vocabulary), given each row's filter and generator (of the CPU).

    A row's token depends on its own scores, filter and generator alone.
    """
    free = [number for number, item in enumerate(filters) if item.is_free]
    others = [number for number in range(len(filters)) if number not in set(free)]
    tokens = dict(zip(free, _draw_freely(scores, free, filters, generators), strict=True)) if free else {}
    for number, kept in zip(others, keep(scores, others, filters), strict=True):
        tokens[number] = _draw_from(kept, generators[number])
    return [tokens[number] for number in range(len(filters))]


def keep(scores: Any, rows: Sequence[int], filters: Sequence[TokenFilter]) -> list[Kept]:
    """The tokens that each of these rows may have."""
    narrow = [number for number in rows if filters[number].is_narrow]
    kept = dict(zip(narrow, _keep_of_best(scores, narrow, filters), strict=True)) if narrow else {}
    return [kept.get(number) or filters[number].of_whole(scores[number]) for number in rows]


def _keep_of_best(scores: Any, rows: Sequence[int], filters: Sequence[TokenFilter]) -> list[Kept | None]:
    """The tokens that each row may have; None for rows of which more tokens must be looked at."""
    selected = rows_of(scores, rows)
    best = selected.topk(min(CANDIDATES, selected.shape[-1]))
    totals = _totals(selected, [filters[number] for number in rows])
    values, ids = best.values.cpu().numpy(), best.indices.cpu().numpy()
    return [
        _cut(values[number], ids[number], total, filters[row], selected.shape[-1])
        for number, (row, total) in enumerate(zip(rows, totals, strict=True))
    ]


def _cut(values: Any, ids: Any, total: float, wanted: TokenFilter, vocabulary: int) -> Kept | None:
    finite = ~np.isneginf(values)
    are_all = len(values) == vocabulary or not finite.all()
    values, ids = values[finite] / np.float32(wanted.temperature), ids[finite]
    order = np.lexsort((ids, -values))  # equal scores have no order of their own
    values, ids = values[order].astype(np.float64), ids[order]
    count = wanted.of_best(values, total, are_all=are_all)
    if count is None:
        return None
    by_id = np.argsort(ids[:count])
    return wanted.refined(ids[by_id], values[by_id])


def _totals(scores: Any, filters: Sequence[TokenFilter]) -> list[float]:
    """The logarithm of each row's sum of exponentials, with its temperature; 0 where the filter needs none."""
    needed = [number for number, item in enumerate(filters) if item.top_p < 1 and not item.top_k]
    totals = [0.0] * len(filters)
    if needed:
        heat = scores.new_tensor([filters[number].temperature for number in needed])[:, None]
        for number, total in zip(needed, (rows_of(scores, needed) / heat).logsumexp(-1).tolist(), strict=True):
            totals[number] = total
    return totals


def _draw_freely(scores: Any, rows: Sequence[int], filters: Sequence[TokenFilter], generators: Any) -> list[int]:
    """A token for each of these rows, of all that there are."""
    heat = scores.new_tensor([filters[number].temperature for number in rows])[:, None]
    sums = (rows_of(scores, rows) / heat).softmax(-1).cumsum(-1)
    drawn = torch.cat([torch.rand((1, 1), generator=generators[number]) for number in rows]).to(sums)
    ends = sums[:, -1:].contiguous()
    tokens = torch.searchsorted(sums, drawn * ends, right=True)
    tokens = tokens.minimum(torch.searchsorted(sums, ends))  # the product may round up to the end
    result: list[int] = tokens[:, 0].tolist()
    return result


def _draw_from(kept: Kept, generator: torch.Generator) -> int:
    ids, scores = kept
    sums = np.cumsum(np.exp(scores - scores.max()))
    drawn = float(torch.rand((), generator=generator, dtype=torch.float64)) * sums[-1]
    return int(ids[min(int(np.searchsorted(sums, drawn, side="right")), len(ids) - 1)])


def rows_of(scores: Any, rows: Sequence[int]) -> Any:
    """These rows; a copy only if they are not all."""
    return scores if len(rows) == len(scores) else scores[rows]


def _log_total(scores: Any) -> float:
    return float(scores[0] + np.log(np.exp(scores - scores[0]).sum()))
