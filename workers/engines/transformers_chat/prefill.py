"""Chunked prefill: reads prompts into a cache from left to right, some columns at a time.

Rows are aligned on the right: their last tokens share a column, and shorter rows begin with hidden columns. What the
prefix cache has of a row is skipped, up to the column where the row with the most left to read begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from workers.engines.transformers_chat.kv_cache import KVCache, RowSnapshot
from workers.engines.transformers_chat.model_runner import ModelRunner
from workers.engines.transformers_chat.prompt_row import PromptRow

_WORTH = 64
"""New tokens from which a prompt is kept at once, and not only together with its answer."""

Known = tuple[RowSnapshot | None, int]
"""What the prefix cache has of a row, and for how many of its tokens."""
NOTHING: Known = (None, 0)


class Prefill:
    """Rows that are being read. Several rows must be mergeable (`are_mergeable`)."""

    def __init__(self, runner: ModelRunner, rows: Sequence[PromptRow], known: Sequence[Known]) -> None:
        self.rows = rows
        self.width = max(map(len, rows))
        """The number of columns once everything is read."""
        self.hidden = [self.width - len(row) for row in rows]
        """The number of hidden columns before each row."""
        self._runner = runner
        self._at = self.width - columns_to_read(rows, known)
        self._started_at = self._at
        self.reused = sum(max(self._at - hidden, 0) for hidden in self.hidden)
        """Tokens of all rows that the prefix cache saves."""
        self._features: dict[bytes, Any] = {}
        self.cache = self._restored(known)
        self._missing = self._look_up()

    @property
    def left(self) -> int:
        """Columns that are not read yet."""
        return self.width - self._at

    def advance(self, limit: int) -> Any:
        """Encode images of up to `limit` tokens, then read up to as many columns.

        Returns the scores of the first new tokens, (rows, vocabulary) in float32, once everything is read, else None.
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
        """Put the rows into the prefix cache once they are read: other requests may begin alike before the answer ends.

        Rows with a state are always kept, since they cannot be cut to their prompt later.
        """
        for number, (row, hidden) in enumerate(zip(self.rows, self.hidden, strict=True)):
            read = len(row) - max(self._started_at - hidden, 0)
            if row.whole is None and (read >= _WORTH or self._runner.has_states):
                size = self.cache.bytes_of(len(row))
                self._runner.prefixes.put(row.keys, size, partial(self.cache.snapshot, number, len(row)))

    @property
    def _is_read_at_once(self) -> bool:
        return not self._runner.reads_in_chunks or any(row.whole for row in self.rows)

    def _restored(self, known: Sequence[Known]) -> KVCache:
        """A cache with the columns that need not be read."""
        cache = self._runner.new_cache()
        kept = [max(self._at - hidden, 0) for hidden in self.hidden]
        cache.restore([(snapshot, n) if n else (None, 0) for (snapshot, _), n in zip(known, kept, strict=True)])
        return cache

    def _look_up(self) -> list[Any]:
        """The images that must be encoded, each once. Keeps the features of the others."""
        missing = {}
        for row, hidden in zip(self.rows, self.hidden, strict=True):
            for image in row.images_in(self._at - hidden, len(row)):
                features = self._runner.features.get(image.digest)
                if features is None:
                    missing[image.digest] = image
                else:
                    self._features[image.digest] = features
        return list(missing.values())

    def _encode(self, limit: int) -> None:
        """Encode images of up to `limit` tokens together, and at least one."""
        batch, tokens = [self._missing[0]], len(self._missing[0].tokens)
        for image in self._missing[1:]:
            if tokens + len(image.tokens) > limit:
                break
            batch.append(image)
            tokens += len(image.tokens)
        for image, features in zip(batch, self._runner.family.encode(batch), strict=True):
            self._features[image.digest] = features
            self._runner.features.put(image.digest, features)
        self._missing = self._missing[len(batch) :]

    def _read(self, begin: int, end: int) -> Any:
        begins = [begin - hidden for hidden in self.hidden]
        positions = self._runner.positions(self.rows, begins, end - begin)
        mask = self._runner.mask(self.hidden, end)
        return self._runner.step(self._inputs(begins, end - begin), self.cache, mask, positions)

    def _inputs(self, begins: Sequence[int], columns: int) -> dict[str, Any]:
        first = self.rows[0]
        if len(self.rows) > 1:
            ids = [_ids(row, begin, columns) for row, begin in zip(self.rows, begins, strict=True)]
            return {"input_ids": torch.stack(ids).to(self._runner.device)}
        if first.whole:
            return self._runner.family.whole(first)
        return self._runner.family.inputs(first, begins[0], begins[0] + columns, self._features)


def columns_to_read(rows: Sequence[PromptRow], known: Sequence[Known]) -> int:
    """The columns that must be read if the rows are read together."""
    return max(len(row) - tokens for row, (_, tokens) in zip(rows, known, strict=True))


def are_mergeable(runner: ModelRunner, rows: Sequence[PromptRow], known: Sequence[Known]) -> bool:
    """Whether the rows can be read together: as token ids, and without a cache that padding would change."""
    columns = columns_to_read(rows, known)
    return not runner.has_states and all(
        (snapshot is None or snapshot.is_cuttable) and _is_of_words(row, max(len(row) - columns, 0))
        for row, (snapshot, _) in zip(rows, known, strict=True)
    )


def _is_of_words(row: PromptRow, begin: int) -> bool:
    """Whether the row has no image from that token on."""
    return not row.whole and not row.images_in(begin, len(row))


def _ids(row: PromptRow, begin: int, columns: int) -> Any:
    """`columns` token ids from `begin` on, 0 for those before the row's first token."""
    ids = row.ids[max(begin, 0) : begin + columns]
    return torch.nn.functional.pad(ids, (columns - len(ids), 0))
