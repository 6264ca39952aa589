"""The KV cache of a batch: rows can be joined, removed, and copied for later requests.

All rows are as wide as the longest. Shorter rows begin with columns that the attention mask hides, so two caches are
joined by padding the narrower one on the left. Sliding-window layers keep only the last columns, but count all of them.
Linear-attention layers keep a state for each row and no columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from workers.engines.transformers_chat import library


@dataclass(frozen=True, slots=True)
class LayerSnapshot:
    """A copy of one row of one layer: keys and values, and states by number."""

    keys: Any = None  # (1, heads, columns, size), as are the values
    values: Any = None
    states: dict[str, dict[int, Any]] = field(default_factory=dict)

    @property
    def tensors(self) -> list[Any]:
        states = [state for group in self.states.values() for state in group.values()]
        return [tensor for tensor in (self.keys, self.values, *states) if tensor is not None]


@dataclass(frozen=True, slots=True)
class RowSnapshot:
    """A copy of one row of `tokens` tokens. A cuttable one can also be restored with fewer tokens."""

    tokens: int
    layers: tuple[LayerSnapshot, ...]
    is_cuttable: bool

    @property
    def bytes(self) -> int:
        """Its memory, in bytes."""
        return sum(tensor.numel() * tensor.element_size() for layer in self.layers for tensor in layer.tensors)


class KVCache:
    """The cache of a batch of rows, in a cache object of transformers (`library`)."""

    def __init__(self, model: Any) -> None:
        self.library = library.new_cache(model)

    @property
    def has_states(self) -> bool:
        """Whether some layers keep a state, which padding would change and which cannot be cut."""
        return any(isinstance(layer, library.LINEAR) for layer in self.library.layers)

    @property
    def has_columns(self) -> bool:
        """Whether some layers keep a column for each token."""
        return any(isinstance(layer, library.ATTENTION) for layer in self.library.layers)

    def join(self, other: KVCache) -> None:
        """Append the rows of `other`, a cache of the same model."""
        for layer, added in zip(self.library.layers, other.library.layers, strict=True):
            if isinstance(layer, library.LINEAR):
                for states, added_states in zip(_states(layer).values(), _states(added).values(), strict=True):
                    for number, state in states.items():
                        states[number] = None if state is None else torch.cat([state, added_states[number]])
            if _has_columns(layer):
                width = max(layer.keys.shape[-2], added.keys.shape[-2])
                layer.keys = torch.cat([_widen(layer.keys, width), _widen(added.keys, width)])
                layer.values = torch.cat([_widen(layer.values, width), _widen(added.values, width)])
            if isinstance(layer, library.SLIDING):
                layer.cumulative_length = max(layer.cumulative_length, added.cumulative_length)

    def select(self, rows: Sequence[int], device: Any) -> None:
        """Keep the rows with these numbers, in this order. A number may occur more than once."""
        # `reorder_cache` is for beam search, but takes any number of rows
        self.library.reorder_cache(torch.tensor(rows, device=device))

    def narrow(self, columns: int) -> None:
        """Remove this many columns from the left, which must be hidden in every row."""
        for layer in self.library.layers:
            if not _has_columns(layer):
                continue
            width = layer.keys.shape[-2] - columns
            if isinstance(layer, library.SLIDING):
                layer.cumulative_length -= columns
                width = min(layer.keys.shape[-2], layer.cumulative_length)
            layer.keys, layer.values = layer.keys[..., -width:, :], layer.values[..., -width:, :]

    def bytes_of(self, tokens: int) -> int:
        """The memory of a snapshot of a row of `tokens` tokens, in bytes."""
        layers = [layer for layer in self.library.layers if _has_columns(layer)]
        columns = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
        linear = [layer for layer in self.library.layers if isinstance(layer, library.LINEAR)]
        groups = [group for layer in linear for group in _states(layer).values()]
        states = [state[0] for group in groups for state in group.values() if state is not None]
        one_row = [*(tensor[0, :, :tokens] for tensor in columns), *states]
        return sum(int(tensor.numel()) * int(tensor.element_size()) for tensor in one_row)

    def snapshot(self, row: int, tokens: int) -> RowSnapshot:
        """Copy a row, whose tokens are in the last `tokens` columns."""
        layers = tuple(_snapshot(layer, row, tokens) for layer in self.library.layers)
        has_all_columns = all(layer.keys is None or layer.keys.shape[-2] == tokens for layer in layers)
        return RowSnapshot(tokens, layers, is_cuttable=has_all_columns and not self.has_states)

    def restore(self, rows: Sequence[tuple[RowSnapshot | None, int]]) -> None:
        """Fill this empty cache with the first tokens of each row, aligned on the right.

        A snapshot that is not cuttable must be the only one, and be restored with all its tokens.
        """
        width = max(tokens for _, tokens in rows)
        if not width:
            return
        for number, layer in enumerate(self.library.layers):
            copies = [(None if snapshot is None else snapshot.layers[number], tokens) for snapshot, tokens in rows]
            for copy, _ in copies:
                self._restore_states(number, copy)
            if any(copy is not None and copy.keys is not None for copy, _ in copies):
                self.library.update(_aligned(copies, "keys"), _aligned(copies, "values"), number)
            if isinstance(layer, library.SLIDING):
                layer.cumulative_length = width

    def _restore_states(self, number: int, snapshot: LayerSnapshot | None) -> None:
        for name, update in (
            ("conv_states", self.library.update_conv_state),
            ("recurrent_states", self.library.update_recurrent_state),
        ):
            for index, state in (snapshot.states.get(name, {}) if snapshot else {}).items():
                update(state, number, index)


def _states(layer: Any) -> dict[str, dict[int, Any]]:
    return {"conv_states": layer.conv_states, "recurrent_states": layer.recurrent_states}


def _has_columns(layer: Any) -> bool:
    return isinstance(layer, library.ATTENTION) and layer.keys is not None


def _snapshot(layer: Any, row: int, tokens: int) -> LayerSnapshot:
    keys = values = None
    states: dict[str, dict[int, Any]] = {}
    if isinstance(layer, library.LINEAR):
        for name, group in _states(layer).items():
            states[name] = {n: state[row : row + 1].clone() for n, state in group.items() if state is not None}
    if _has_columns(layer):
        columns = min(tokens, layer.keys.shape[-2])
        keys, values = (t[row : row + 1, :, t.shape[-2] - columns :].clone() for t in (layer.keys, layer.values))
    return LayerSnapshot(keys, values, states)


def _aligned(rows: Sequence[tuple[LayerSnapshot | None, int]], name: str) -> Any:
    """Keys or values of the first tokens of each row, padded with zeros on the left."""
    states = [(None if layer is None else getattr(layer, name)[..., :tokens, :]) for layer, tokens in rows]
    width = max(columns.shape[-2] for columns in states if columns is not None)
    empty = next(columns for columns in states if columns is not None)[..., :0, :]
    return torch.cat([_widen(empty if columns is None else columns, width) for columns in states])


def _widen(states: Any, width: int) -> Any:
    """Pad keys or values (rows, heads, columns, size) on the left to `width` columns."""
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[-2], 0))
