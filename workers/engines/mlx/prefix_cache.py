"""The prefix cache of MLX's language models: mlx-lm's own prompt cache, within a memory limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlx_lm.models.cache import LRUPromptCache, can_trim_prompt_cache, trim_prompt_cache

_MODEL = "model"
"""mlx-lm's cache serves several models; here there is one."""


class MlxPrefixCache:
    """Caches of earlier conversations; the least recently used are evicted. `limit` in bytes; 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._library = LRUPromptCache(max_size=1 << 20, max_bytes=limit)

    @property
    def bytes(self) -> int:
        """The memory in use."""
        return int(self._library.nbytes)

    def match(self, tokens: Sequence[int]) -> tuple[Any, list[int]]:
        """The cache of an earlier conversation that a prompt continues, or None, and the tokens left to read.

        The prompt's last token is always left: the model must read it to give the answer's first token.
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
        """Keep the cache of a conversation of which the model has seen `tokens`."""
        if self._limit and tokens:
            self._library.insert_cache(_MODEL, list(tokens), cache)
