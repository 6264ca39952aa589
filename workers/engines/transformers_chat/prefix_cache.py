"""The prefix cache: keeps KV caches of earlier conversations for prompts that begin with the same tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.engines.transformers_chat.kv_cache import RowSnapshot

SHORTEST = 16
"""The minimum number of tokens to reuse; reading fewer tokens again costs almost nothing."""


@dataclass(frozen=True, eq=False, slots=True)
class Prefix:
    """A row of an earlier request: its keys (`PromptRow.keys`), its part of the KV cache, and the size in bytes."""

    keys: Any
    snapshot: RowSnapshot
    bytes: int


class PrefixCache:
    """Keeps rows up to a memory limit in bytes, and evicts the least recently used. With a limit of 0 it keeps none.

    A cuttable row (`RowSnapshot.is_cuttable`) can be reused up to the token where a prompt differs. Rows with states,
    or with windows that have slid, can be reused only for prompts that begin with the whole row.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.version = 0
        """Changes whenever `match` may return another result."""
        self._prefixes: list[Prefix] = []  # the most recently used is the last

    def match(self, keys: Any) -> tuple[RowSnapshot | None, int]:
        """The row that shares the longest prefix with a prompt, and the number of shared tokens.

        The prompt's last token is never included: the model must read it to compute the answer's first token.
        """
        best, length = None, SHORTEST - 1
        for prefix in self._prefixes:
            shared = _shared(prefix.keys, keys[:-1])
            usable = shared if prefix.snapshot.is_cuttable or shared == len(prefix.keys) else 0
            if usable > length:
                best, length = prefix, usable
        if best is None:
            return None, 0
        self._use(best)
        return best.snapshot, length

    def put(self, keys: Any, size: int, take: Callable[[], RowSnapshot]) -> None:
        """Keep a row of `size` bytes, which `take` copies. It replaces rows that it makes redundant."""
        if size > self.limit or len(keys) < SHORTEST:
            return
        for prefix in self._prefixes:
            if _covers(prefix, keys):
                self._use(prefix)
                return
        self._make_room(size)
        snapshot = take()
        added = Prefix(keys, snapshot, snapshot.bytes)
        self._prefixes = [prefix for prefix in self._prefixes if not _covers(added, prefix.keys)]
        self._prefixes.append(added)
        self._count()
        self._make_room(0)

    def clear(self) -> None:
        """Free the memory."""
        self._prefixes = []
        self._count()

    def _use(self, prefix: Prefix) -> None:
        self._prefixes.remove(prefix)
        self._prefixes.append(prefix)

    def _make_room(self, size: int) -> None:
        while self._prefixes and self.bytes + size > self.limit:
            del self._prefixes[0]
            self._count()

    def _count(self) -> None:
        self.version += 1
        self.bytes = sum(prefix.bytes for prefix in self._prefixes)


def _shared(keys: Any, other_keys: Any) -> int:
    """The length of the common prefix of two arrays."""
    length = min(len(keys), len(other_keys))
    differences = np.flatnonzero(keys[:length] != other_keys[:length])
    return int(differences[0]) if len(differences) else length


def _covers(prefix: Prefix, keys: Any) -> bool:
    """Whether a kept row can be reused wherever a row with these keys could."""
    shared = _shared(prefix.keys, keys)
    return shared == len(keys) and (prefix.snapshot.is_cuttable or len(prefix.keys) == len(keys))
