"""Earlier conversations with a language model, kept by mlx-lm's own prompt cache: prompts go on where they part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlx_lm.models.cache import LRUPromptCache, can_trim_prompt_cache, trim_prompt_cache

_MODEL = "model"
"""What the library's cache is told for the model: there is one in a process."""


class MlxPrefixes:
    """Caches of whole conversations within a bound of memory, least recently used out. `limit` in bytes; 0: none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._library = LRUPromptCache(max_size=1 << 20, max_bytes=limit)

    @property
    def bytes(self) -> int:
        """The memory that they take."""
        return int(self._library.nbytes)

    def match(self, tokens: Sequence[int]) -> tuple[Any, list[int]]:
        """The cache of an earlier conversation that begins as a prompt does, or None; and what is left to be read.

        At least the prompt's last token is: the answer's first comes of it.
        """
        if not self._limit:
            return None, list(tokens)
        cache, rest = self._library.fetch_nearest_cache(_MODEL, list(tokens))
        if cache is not None and not rest:
            if not can_trim_prompt_cache(cache):
                return None, list(tokens)
            trim_prompt_cache(cache, 1)
            rest = list(tokens[-1:])
        return cache, list(rest)

    def put(self, tokens: Sequence[int], cache: Any) -> None:
        """Keep the cache of a conversation, of which the model has seen these tokens."""
        if self._limit and tokens:
            self._library.insert_cache(_MODEL, list(tokens), cache)
