"""What a model remembers of its rows: caches of different lengths are joined, single rows dropped or copied.

All rows of a cache are as wide as the longest. Shorter ones begin with columns that the attention mask hides, so a
newcomer is joined by widening whoever is narrower, on the left. Sliding windows hold the last columns only and count
those that are gone; states of linear attention have no columns, and are put side by side.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import cache_utils as library

_KNOWN = {
    library.DynamicLayer,
    library.DynamicSlidingWindowLayer,
    library.LinearAttentionLayer,
    library.LinearAttentionAndFullAttentionLayer,
    library.LinearAttentionAndSlidingWindowAttentionLayer,
    library.DummyLayer,
}
"""Exact types: what is derived from them (quantised, static, indexed) keeps more than is handled here."""


def is_known(cache: Any) -> bool:
    """Whether the functions below can handle this cache."""
    return type(cache) is library.DynamicCache and not cache.offloading and {*map(type, cache.layers)} <= _KNOWN


def join(cache: Any, other: Any) -> None:
    """Add the rows of `other`, a cache of the same model, below those of `cache`."""
    for mine, theirs in zip(cache.layers, other.layers, strict=True):
        if isinstance(mine, library.LinearAttentionLayer):
            for states, others in (
                (mine.conv_states, theirs.conv_states),
                (mine.recurrent_states, theirs.recurrent_states),
            ):
                for number, state in states.items():
                    states[number] = None if state is None else torch.cat([state, others[number]])
        if isinstance(mine, library.DynamicLayer) and mine.keys is not None:
            width = max(mine.keys.shape[-2], theirs.keys.shape[-2])
            mine.keys = torch.cat([_widen(mine.keys, width), _widen(theirs.keys, width)])
            mine.values = torch.cat([_widen(mine.values, width), _widen(theirs.values, width)])
        if isinstance(mine, library.DynamicSlidingWindowLayer):
            mine.cumulative_length = max(mine.cumulative_length, theirs.cumulative_length)


def select(cache: Any, rows: Any) -> None:
    """Keep the rows of these numbers, in this order; a number may come more than once."""
    cache.reorder_cache(rows)  # for beams, but nothing in it asks for as many rows as there were


def narrow(cache: Any, columns: int) -> None:
    """Forget the first columns, which no row needs."""
    for layer in cache.layers:
        if not isinstance(layer, library.DynamicLayer) or layer.keys is None:
            continue
        left = layer.keys.shape[-2] - columns
        if isinstance(layer, library.DynamicSlidingWindowLayer):
            layer.cumulative_length -= columns
            left = min(layer.keys.shape[-2], layer.cumulative_length)
        layer.keys, layer.values = layer.keys[..., -left:, :], layer.values[..., -left:, :]


def _widen(states: Any, width: int) -> Any:
    """Keys or values (rows, heads, columns, size), with so many columns."""
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))
