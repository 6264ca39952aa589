"""Chunked prefill: reads prompts into a KV cache from left to right, some columns at a time.

Rows are aligned on the right: their last tokens share a column, and shorter rows begin with hidden columns. Tokens in
the prefix cache are skipped, up to the first column that some row must read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from workers.engines.transformers_chat.kv_cache import KVCache, RowSnapshot
from workers.engines.transformers_chat.model_runner import ModelRunner
from workers.engines.transformers_chat.prompt_row import PromptRow
from workers.engines.transformers_chat.sampling import picked_tokens
from workers.toolkit.chat.logprobs import PickedToken

_MIN_NEW_TOKENS = 64
"""A prompt with at least this many new tokens is cached when it is read; others only together with their answer."""

_MAX_SCORED = 512
"""The most tokens that are read together if their scores are reported: a vocabulary of scores for each is large."""

CachedPrefix = tuple[RowSnapshot | None, int]
"""The row of the prefix cache to reuse for a prompt, and the number of tokens that they share."""
NO_PREFIX: CachedPrefix = (None, 0)


class Prefill:
    """Rows that are read together. Several rows must be mergeable (`are_mergeable`)."""

    def __init__(self, runner: ModelRunner, rows: Sequence[PromptRow], prefixes: Sequence[CachedPrefix]) -> None:
        self.rows = rows
        self.width = max(map(len, rows))
        """The number of columns once everything is read."""
        self.hidden = [self.width - len(row) for row in rows]
        """The number of hidden columns before each row."""
        self._runner = runner
        self._at = self.width - columns_to_read(rows, prefixes)
        self._started_at = self._at
        self.reused = [max(self._at - hidden, 0) for hidden in self.hidden]
        """The number of tokens of each row that the prefix cache saves."""
        self.picked: list[list[PickedToken]] = [[] for _ in rows]
        """The tokens of each row but the first, if they are reported."""
        self._features: dict[bytes, Any] = {}
        self.cache = self._restored(prefixes)
        self._missing = self._look_up()

    @property
    def unread(self) -> int:
        """The number of columns that are not read yet."""
        return self.width - self._at

    def advance(self, limit: int) -> Any:
        """Encode images of up to `limit` tokens; when all are encoded, read up to `limit` columns.

        Returns the scores of the first new tokens, (rows, vocabulary) in float32, or None until everything is read.
        """
        if self._missing:
            self._encode(limit)
            if self._missing:
                return None
        limit = limit_of(self.rows, limit)
        end = self.width if self._is_read_at_once else min(self._at + limit, self.width)
        scores = self._read(self._at, end)
        self._at = end
        return scores if end == self.width else None

    def remember(self) -> None:
        """Put the rows, once read, into the prefix cache: other requests may need them before the answers end.

        Rows with a state are always cached here, since they cannot be shortened to their prompt later.
        """
        for number, (row, hidden) in enumerate(zip(self.rows, self.hidden, strict=True)):
            new_tokens = len(row) - max(self._started_at - hidden, 0)
            if row.whole is None and (new_tokens >= _MIN_NEW_TOKENS or self._runner.has_states):
                size = self.cache.bytes_of(len(row))
                self._runner.prefixes.put(row.keys, size, partial(self.cache.snapshot, number, len(row)))

    @property
    def _is_read_at_once(self) -> bool:
        return not self._runner.reads_in_chunks or any(row.whole for row in self.rows)

    def _restored(self, prefixes: Sequence[CachedPrefix]) -> KVCache:
        """A KV cache with the columns that need not be read."""
        cache = self._runner.new_cache()
        kept = zip(prefixes, self.reused, strict=True)
        cache.restore([(snapshot, tokens) if tokens else NO_PREFIX for (snapshot, _), tokens in kept])
        return cache

    def _look_up(self) -> list[Any]:
        """Take features of images from the cache. Returns the images that must be encoded, each once."""
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
        """Encode at least one image, and more together as long as they have up to `limit` tokens."""
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
        inputs = self._inputs(begins, end - begin)
        if not are_scored(self.rows):
            return self._runner.step(inputs, self.cache, mask, positions)
        scores = self._runner.read_all(inputs, self.cache, mask, positions)
        for number, row in enumerate(self.rows):
            if row.alternatives is not None:
                self.picked[number] += _pick_read(row, begins[number], scores[number])
        return scores[:, -1].to(torch.float32, copy=True)

    def _inputs(self, begins: Sequence[int], columns: int) -> dict[str, Any]:
        first = self.rows[0]
        if len(self.rows) > 1:
            ids = [_ids(row, begin, columns) for row, begin in zip(self.rows, begins, strict=True)]
            return {"input_ids": torch.stack(ids).to(self._runner.device)}
        if first.whole:
            return self._runner.family.whole(first)
        return self._runner.family.inputs(first, begins[0], begins[0] + columns, self._features)


def are_scored(rows: Sequence[PromptRow]) -> bool:
    """Whether the tokens of some row are reported with their scores."""
    return any(row.alternatives is not None for row in rows)


def limit_of(rows: Sequence[PromptRow], limit: int) -> int:
    """How many columns of the rows can be read together, of `limit`."""
    return max(min(limit, _MAX_SCORED // len(rows)), 1) if are_scored(rows) else limit


def _pick_read(row: PromptRow, begin: int, scores: Any) -> list[PickedToken]:
    """The tokens of a row after those that were read from `begin` on, given the scores (columns, vocabulary)."""
    first, end = max(begin, 0), min(begin + len(scores), len(row) - 1)
    tokens = row.ids[first + 1 : end + 1].tolist()
    return picked_tokens(tokens, scores[first - begin : end - begin], row.alternatives or 0)


def columns_to_read(rows: Sequence[PromptRow], prefixes: Sequence[CachedPrefix]) -> int:
    """The number of columns that must be read if the rows are read together."""
    return max(len(row) - tokens for row, (_, tokens) in zip(rows, prefixes, strict=True))


def are_mergeable(runner: ModelRunner, rows: Sequence[PromptRow], prefixes: Sequence[CachedPrefix]) -> bool:
    """Whether the rows can be read together: all new tokens are text, and padding changes no state."""
    columns = columns_to_read(rows, prefixes)
    return not runner.has_states and all(
        (snapshot is None or snapshot.is_cuttable) and _is_text_from(row, max(len(row) - columns, 0))
        for row, (snapshot, _) in zip(rows, prefixes, strict=True)
    )


def _is_text_from(row: PromptRow, begin: int) -> bool:
    """Whether the row has no image token from `begin` on."""
    return not row.whole and not row.images_in(begin, len(row))


def _ids(row: PromptRow, begin: int, columns: int) -> Any:
    """The ids of `columns` tokens from `begin` on; 0 before the row's first token."""
    ids = row.ids[max(begin, 0) : begin + columns]
    return torch.nn.functional.pad(ids, (columns - len(ids), 0))
