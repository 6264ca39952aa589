"""Earlier conversations, as the model remembers them: a prompt that begins with the same tokens goes on from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workers.engines.transformers_chat.kv_cache import RowSnapshot

SHORTEST = 16
"""Tokens below which reading them again takes no longer than finding them."""


@dataclass(frozen=True, eq=False, slots=True)
class Prefix:
    """A row that was read or written: its keys (`PromptRow.keys`), and what the model remembers of it."""

    keys: Any
    snapshot: RowSnapshot
    bytes: int


class PrefixCache:
    """Rows within a bound of memory, least recently used out. `limit` in bytes; 0 keeps none.

    A row whose layers can all be cut (`RowSnapshot.is_cuttable`) serves every prompt that begins as it does, up to
    where they part. Others, with states or windows that have slid, serve prompts that begin with all of the row.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.version = 0
        """Another number once `match` may give something else."""
        self._prefixes: list[Prefix] = []  # the most recently used is the last

    def match(self, keys: Any) -> tuple[RowSnapshot | None, int]:
        """The row that has most in common with the beginning of a prompt, and how many tokens.

        At least the prompt's last token is left to be read: the answer's first comes of it.
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
        """Keep a row that `take` copies, which will have `size` bytes; it replaces those that it serves as well as."""
        if size > self.limit or len(keys) < SHORTEST:
            return
        for prefix in self._prefixes:
            if _serves_for(prefix, keys):
                self._use(prefix)
                return
        self._make_room(size)
        snapshot = take()
        added = Prefix(keys, snapshot, snapshot.bytes)
        self._prefixes = [prefix for prefix in self._prefixes if not _serves_for(added, prefix.keys)]
        self._prefixes.append(added)
        self._count()
        self._make_room(0)

    def clear(self) -> None:
        """Give the memory back."""
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


def _shared(one: Any, other: Any) -> int:
    """How many numbers two arrays have in common at their beginning."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


def _serves_for(prefix: Prefix, keys: Any) -> bool:
    """Whether a row serves every prompt that one with these keys would serve."""
    shared = _shared(prefix.keys, keys)
    return shared == len(keys) and (prefix.snapshot.is_cuttable or len(prefix.keys) == len(keys))
