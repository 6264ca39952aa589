"""The running rows, which share decode steps: rows join when their prompt is read, and are removed when finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.engines.transformers_chat.kv_cache import KVCache
from workers.engines.transformers_chat.model_runner import ModelRunner
from workers.engines.transformers_chat.prefill import Prefill
from workers.engines.transformers_chat.sampling import exclude, pick
from workers.engines.transformers_chat.token_draw import rows_of
from workers.toolkit.chat.answer import NO_TOKEN, ChatChoice
from workers.toolkit.chat.constraints.masks import RowMasks
from workers.toolkit.chat.constraints.token_constraint import TokenConstraint

Tokens = list[tuple[ChatChoice, int]]
"""Choices with their next token."""


@dataclass(eq=False)
class Row:
    """One running choice. `keys` are its prompt's (`PromptRow.keys`), or None if the prefix cache cannot keep it."""

    choice: ChatChoice
    prompt_tokens: int
    keys: Any
    written: list[int] = field(default_factory=list)  # the last token is the input of the next step

    @property
    def length(self) -> int:
        """The number of its tokens that are in the KV cache."""
        return self.prompt_tokens + max(len(self.written) - 1, 0)


class DecodeBatch:
    """Running rows of one width, and their KV cache."""

    def __init__(self, runner: ModelRunner, prefill: Prefill, prompts: Sequence[ChatPrompt], scores: Any) -> None:
        """Make a row for each choice of the prompts. `scores` (prompts, vocabulary) are for the first tokens."""
        self._runner = runner
        self.cache: KVCache = prefill.cache
        numbers = [number for number, prompt in enumerate(prompts) for _ in prompt.choices]
        self.rows = [
            Row(choice, len(prompt.row), None if prompt.row.whole else prompt.row.keys)
            for prompt in prompts
            for choice in prompt.choices
        ]
        self._hidden = [prefill.hidden[number] for number in numbers]
        self._width = prefill.width
        self._positions = runner.next_positions(prefill.rows)[:, numbers]
        self._scores = scores[numbers]
        self._vocabulary = int(scores.shape[-1])
        with torch.inference_mode():
            if len(numbers) > len(prompts):
                self.cache.select(numbers, runner.device)

    @property
    def compiling(self) -> list[TokenConstraint]:
        """The constraints of its rows that are still being compiled."""
        choices = [row.choice for row in self.rows if not (row.choice.is_finished or row.choice.is_ready)]
        return [choice.constraint for choice in choices if choice.constraint is not None]

    def first(self) -> Tokens:
        """The first token of each choice."""
        with torch.inference_mode():
            return self._append(self._scores, self._begin_masks())

    def step(self) -> Tokens:
        """Decode one token for every row. Returns the tokens of unfinished choices, for the caller to push."""
        with torch.inference_mode():  # must not stay active across a yield
            self._width += 1
            masks = self._begin_masks()
            mask = self._runner.mask(self._hidden, self._width)
            last_tokens = torch.tensor([[row.written[-1]] for row in self.rows], device=self._runner.device)
            scores = self._runner.step({"input_ids": last_tokens}, self.cache, mask, self._positions[..., None])
            self._positions = self._positions + 1
            return self._append(scores, masks)

    def drop_finished(self) -> None:
        """Remove finished rows, and put them into the prefix cache."""
        running = [number for number, row in enumerate(self.rows) if not row.choice.is_finished]
        if len(running) == len(self.rows):
            return
        with torch.inference_mode():
            for number, row in enumerate(self.rows):
                if row.choice.is_finished:
                    self._remember(number, row)
            if running:
                self._select(running)
                self._narrow()
        self.rows = [self.rows[number] for number in running]

    def join(self, other: DecodeBatch) -> None:
        """Add the rows of `other`, which must not be used afterwards."""
        with torch.inference_mode():
            self.cache.join(other.cache)
            width = max(self._width, other._width)
            self._hidden = [hidden + width - batch._width for batch in (self, other) for hidden in batch._hidden]
            self._width = width
            self._positions = torch.cat([self._positions, other._positions], dim=1)
            self.rows += other.rows

    def _begin_masks(self) -> RowMasks:
        """Begin to compute which tokens the constrained rows may have next, beside the model's step."""
        choices = [row.choice for row in self.rows]
        constraints = [None if it.constraint is None or it.is_finished else it.constraint for it in choices]
        return RowMasks(constraints, self._vocabulary)

    def _append(self, scores: Any, masks: RowMasks) -> Tokens:
        """Pick the next token of each row, given scores (rows, vocabulary), which are changed."""
        are_numbers = scores.amax(-1).isfinite()  # the maximum is NaN if any score is
        originals = {row: scores[row].clone() for row in masks.rows if self.rows[row].choice.sampler.reports}
        exclude(scores, masks)
        tokens = _pick(scores, are_numbers, self.rows)
        for number, (row, token) in enumerate(zip(self.rows, tokens, strict=True)):
            row.written.append(token)
            if token != NO_TOKEN:
                row.choice.sampler.note(token, originals.get(number, scores[number]))
        pairs = zip(self.rows, tokens, strict=True)
        return [(row.choice, token) for row, token in pairs if not row.choice.is_finished]

    def _remember(self, number: int, row: Row) -> None:
        if row.keys is not None and not row.choice.answer.failed:
            keys = np.concatenate([row.keys, np.array(row.written[:-1], dtype=np.int64)])
            size = self.cache.bytes_of(row.length)
            self._runner.prefixes.put(keys, size, partial(self.cache.snapshot, number, row.length))

    def _select(self, numbers: list[int]) -> None:
        self.cache.select(numbers, self._runner.device)
        self._positions = self._positions[:, numbers]
        self._hidden = [self._hidden[number] for number in numbers]

    def _narrow(self) -> None:
        """Remove the columns that are hidden in every row."""
        if unused := min(self._hidden):
            self.cache.narrow(unused)
            self._width -= unused
            self._hidden = [hidden - unused for hidden in self._hidden]


def _pick(scores: Any, are_numbers: Any, rows: Sequence[Row]) -> list[int]:
    """The next token of each row, given scores (rows, vocabulary) of the tokens that it may have.

    NO_TOKEN for rows that are False in `are_numbers`.
    """
    picked: list[int] = scores.argmax(-1).where(are_numbers, NO_TOKEN).tolist()
    sampled = [
        number
        for number, row in enumerate(rows)
        if picked[number] != NO_TOKEN and not (row.choice.is_finished or row.choice.sampler.is_plain)
    ]
    if sampled:
        tokens = pick([rows[number].choice.sampler for number in sampled], rows_of(scores, sampled))
        for number, token in zip(sampled, tokens, strict=True):
            picked[number] = token
    return picked
