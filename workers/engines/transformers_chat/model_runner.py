"""Everything with which the decode loop runs a model: its forward pass, its family's adapter and its caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from workers.engines.transformers_chat import library
from workers.engines.transformers_chat.chunk_sizer import ChunkSizer
from workers.engines.transformers_chat.families.family import ChatFamily
from workers.engines.transformers_chat.feature_cache import FeatureCache
from workers.engines.transformers_chat.kv_cache import KVCache
from workers.engines.transformers_chat.prefix_cache import PrefixCache
from workers.engines.transformers_chat.prompt_row import PromptRow


@dataclass
class ModelRunner:
    """Reads prompts and decodes rows with one model."""

    model: Any
    family: ChatFamily
    forward: library.ForwardPass
    prefixes: PrefixCache
    features: FeatureCache
    chunk_sizer: ChunkSizer
    reads_in_chunks: bool = True
    """Whether the model computes the same scores for a prompt in chunks as for the whole prompt."""

    has_states: bool = field(init=False)
    """Whether some layers keep a state, which padding would change and which cannot be shortened."""

    has_columns: bool = field(init=False)
    """Whether some layers keep keys and values of each token."""

    def __post_init__(self) -> None:
        empty = self.new_cache()
        self.has_states, self.has_columns = empty.has_states, empty.has_columns

    @property
    def device(self) -> Any:
        return self.model.device

    @property
    def held(self) -> dict[str, int]:
        """The memory that each cache holds for later requests, in bytes."""
        return {"prefix_cache": self.prefixes.bytes, "image_cache": self.features.bytes}

    def forget(self) -> bool:
        """Empty both caches. Returns False if they were empty already."""
        had_any = any(self.held.values())
        self.prefixes.clear()
        self.features.clear()
        return had_any

    def new_cache(self) -> KVCache:
        """An empty cache."""
        return KVCache(self.model)

    def mask(self, hidden: Sequence[int], columns: int) -> Any:
        """The attention mask (rows, columns), or None if no column is hidden.

        `hidden` is the number of hidden columns before each row.
        """
        if not self.has_columns or not any(hidden):
            return None
        first = torch.tensor(hidden, device=self.device)[:, None]
        return (torch.arange(columns, device=self.device)[None] >= first).long()

    def positions(self, rows: Sequence[PromptRow], begins: Sequence[int], columns: int) -> Any:
        """Positions (axes, rows, columns) of `columns` tokens of each row from `begins` on; 0 in hidden columns."""
        by_row = []
        for row, begin in zip(rows, begins, strict=True):
            positions = torch.arange(begin, begin + columns).clamp(min=0).expand(self.family.axes, -1)
            if row.positions is not None:
                visible = row.positions[:, max(begin, 0) : begin + columns]
                positions = torch.nn.functional.pad(visible, (columns - visible.shape[-1], 0))
            by_row.append(positions)
        return torch.stack(by_row, dim=1).to(self.device)

    def next_positions(self, rows: Sequence[PromptRow]) -> Any:
        """The positions (axes, rows) of the tokens after the prompts."""
        counts = [[len(row) + (row.offset if axis else 0) for row in rows] for axis in range(self.family.axes)]
        return torch.tensor(counts, device=self.device)

    def step(self, inputs: dict[str, Any], cache: KVCache, mask: Any, positions: Any) -> Any:
        """Run the model. Returns the scores of the next tokens, (rows, vocabulary) in float32.

        `positions` are (axes, rows, new columns).
        """
        return self.forward(inputs, cache.library, mask, self._axes_of(positions))

    def read_all(self, inputs: dict[str, Any], cache: KVCache, mask: Any, positions: Any) -> Any:
        """Run the model. Returns the scores after each column, (rows, columns, vocabulary), in the model's dtype."""
        return self.forward.all_scores(inputs, cache.library, mask, self._axes_of(positions))

    def _axes_of(self, positions: Any) -> Any:
        return positions[0] if self.family.axes == 1 else positions
