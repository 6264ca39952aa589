"""Prompts on their way into a cache: read from left to right, some columns at a time (chunked prefill).

The rows are aligned on the right: their last tokens share a column, and shorter ones begin with hidden columns. What
the prefix cache knows of a row is not read again, but for so much that all rows have the same left to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from workers.engines.transformers_chat.kv_cache import KVCache, RowSnapshot
from workers.engines.transformers_chat.machine import Machine
from workers.engines.transformers_chat.prompt_row import PromptRow

_WORTH = 64
"""Tokens that were read of a prompt for which it is kept at once, and not only with its answer."""

Known = tuple[RowSnapshot | None, int]
"""What the prefix cache knows of a row, and of how many of its tokens."""
NOTHING: Known = (None, 0)


class Prefill:
    """Rows while they are read; several must be such as `are_mergeable` says."""

    def __init__(self, machine: Machine, rows: Sequence[PromptRow], known: Sequence[Known]) -> None:
        self.rows = rows
        self.width = max(map(len, rows))
        """Columns, once all is read."""
        self.hidden = [self.width - len(row) for row in rows]
        """How many of each row's first columns are not its own."""
        self._machine = machine
        self._at = self.width - columns_to_read(rows, known)
        self.reused = sum(max(self._at - hidden, 0) for hidden in self.hidden)
        """Tokens that are not read again."""
        self._features: dict[bytes, Any] = {}
        self.cache = self._restored(known)
        self._missing = self._look_up()

    @property
    def left(self) -> int:
        """Columns that are still to be read."""
        return self.width - self._at

    def advance(self, limit: int) -> Any:
        """Encode images of up to `limit` tokens, then read up to as many columns.

        Gives the scores of the first tokens, (rows, vocabulary) in float32, once all is read; None: there is more.
        """
        if self._missing:
            self._encode(limit)
            if self._missing:
                return None
        end = self.width if self._is_read_at_once else min(self._at + limit, self.width)
        scores = self._read(self._at, end)
        self._at = end
        return scores if end == self.width else None

    def remember(self) -> None:
        """Let the prefix cache keep the rows, which have been read: others may ask the same before they are answered.

        What cannot be cut later, with the answer behind it, is kept in any case.
        """
        if self.width - self.reused < _WORTH and not self._machine.has_states:
            return
        for number, row in enumerate(self.rows):
            keys, size = row.keys_with([]), self.cache.bytes_of(len(row))
            if keys is not None:
                self._machine.prefixes.put(keys, size, partial(self.cache.snapshot, number, len(row)))

    @property
    def _is_read_at_once(self) -> bool:
        return not self._machine.reads_in_pieces or any(row.whole for row in self.rows)

    def _restored(self, known: Sequence[Known]) -> KVCache:
        """A cache with the columns before the first that is to be read."""
        cache = self._machine.new_cache()
        kept = [max(self._at - hidden, 0) for hidden in self.hidden]
        cache.restore([(snapshot, n) if n else (None, 0) for (snapshot, _), n in zip(known, kept, strict=True)])
        return cache

    def _look_up(self) -> list[Any]:
        """Images that must be encoded, each once; features of all others are at hand from now on."""
        missing = {}
        for row, hidden in zip(self.rows, self.hidden, strict=True):
            for image in row.images_in(self._at - hidden, len(row)):
                features = self._machine.features.get(image.digest)
                if features is None:
                    missing[image.digest] = image
                else:
                    self._features[image.digest] = features
        return list(missing.values())

    def _encode(self, limit: int) -> None:
        """Encode some images, of up to `limit` tokens but at least one."""
        batch, tokens = [self._missing[0]], len(self._missing[0].tokens)
        for image in self._missing[1:]:
            if tokens + len(image.tokens) > limit:
                break
            batch.append(image)
            tokens += len(image.tokens)
        for image, features in zip(batch, self._machine.family.encode(batch), strict=True):
            self._features[image.digest] = features
            self._machine.features.put(image.digest, features)
        self._missing = self._missing[len(batch) :]

    def _read(self, begin: int, end: int) -> Any:
        begins = [begin - hidden for hidden in self.hidden]
        positions = self._machine.positions(self.rows, begins, end - begin)
        mask = self._machine.mask(self.hidden, end)
        return self._machine.step(self._inputs(begins, end - begin), self.cache, mask, positions)

    def _inputs(self, begins: Sequence[int], columns: int) -> dict[str, Any]:
        first = self.rows[0]
        if len(self.rows) > 1:
            ids = [_ids(row, begin, columns) for row, begin in zip(self.rows, begins, strict=True)]
            return {"input_ids": torch.stack(ids).to(self._machine.device)}
        if first.whole:
            return self._machine.family.whole(first)
        return self._machine.family.inputs(first, begins[0], begins[0] + columns, self._features)


def columns_to_read(rows: Sequence[PromptRow], known: Sequence[Known]) -> int:
    """How many columns the rows have to read when they are read together."""
    return max(len(row) - tokens for row, (_, tokens) in zip(rows, known, strict=True))


def are_mergeable(machine: Machine, rows: Sequence[PromptRow], known: Sequence[Known]) -> bool:
    """Whether the rows can be read together: as words, and with nothing in the cache that padding would change."""
    columns = columns_to_read(rows, known)
    return not machine.has_states and all(
        (snapshot is None or snapshot.is_cuttable) and _is_of_words(row, max(len(row) - columns, 0))
        for row, (snapshot, _) in zip(rows, known, strict=True)
    )


def _is_of_words(row: PromptRow, begin: int) -> bool:
    """Whether no image has a token in the row from there on."""
    return not row.whole and not row.images_in(begin, len(row))


def _ids(row: PromptRow, begin: int, columns: int) -> Any:
    """So many of a row's tokens, those before its first one 0."""
    ids = row.ids[max(begin, 0) : begin + columns]
    return torch.nn.functional.pad(ids, (columns - len(ids), 0))
