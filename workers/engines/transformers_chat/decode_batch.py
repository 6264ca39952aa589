"""Rows that share the steps of a model: begun from prompts that were read, joined by others, left one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.engines.transformers_chat.kv_cache import KVCache
from workers.engines.transformers_chat.machine import Machine
from workers.engines.transformers_chat.prefill import Prefill
from workers.engines.transformers_chat.prompt_row import PromptRow
from workers.toolkit.chat.answer import ChatChoice

Tokens = list[tuple[ChatChoice, int]]
"""The next tokens of some choices."""


@dataclass(eq=False)
class Row:
    """One choice at work: its prompt, and the tokens that the model has been given since."""

    choice: ChatChoice
    prompt: PromptRow
    written: list[int] = field(default_factory=list)  # the last of them the model has not seen yet

    @property
    def length(self) -> int:
        """How many tokens the model has seen of it."""
        return len(self.prompt) + max(len(self.written) - 1, 0)


class DecodeBatch:
    """Rows of one width and their cache, between two steps."""

    def __init__(self, machine: Machine, prefill: Prefill, prompts: Sequence[ChatPrompt], scores: Any) -> None:
        """A row for each choice of the prompts that were read; `scores` (prompts, vocabulary) of a first token."""
        self._machine = machine
        self.cache: KVCache = prefill.cache
        numbers = [number for number, prompt in enumerate(prompts) for _ in prompt.choices]
        self.rows = [Row(choice, prompt.row) for prompt in prompts for choice in prompt.choices]
        self._hidden = [prefill.hidden[number] for number in numbers]
        self._width = prefill.width
        self._positions = machine.next_positions(prefill.rows)[:, numbers]
        self._scores = scores[numbers]
        with torch.inference_mode():
            if len(numbers) > len(prompts):
                self.cache.select(numbers, machine.device)

    def first(self) -> Tokens:
        """The first token of each choice."""
        with torch.inference_mode():
            return self._append(self._scores)

    def step(self) -> Tokens:
        """The next token of every row that is not over yet. Whoever takes them pushes them into their choices."""
        with torch.inference_mode():  # never held across a yield
            self._width += 1
            mask = self._machine.mask(self._hidden, self._width)
            last = torch.tensor([[row.written[-1]] for row in self.rows], device=self._machine.device)
            scores = self._machine.step({"input_ids": last}, self.cache, mask, self._positions[..., None])
            self._positions = self._positions + 1
            return self._append(scores)

    def drop_finished(self) -> None:
        """Let go of the rows that are over; the prefix cache keeps what the model remembers of them."""
        kept = [number for number, row in enumerate(self.rows) if not row.choice.is_over]
        if len(kept) == len(self.rows):
            return
        with torch.inference_mode():
            for number, row in enumerate(self.rows):
                if row.choice.is_over:
                    self._remember(number, row)
            if kept:
                self._select(kept)
                self._narrow()
        self.rows = [self.rows[number] for number in kept]

    def join(self, other: DecodeBatch) -> None:
        """Take over the rows of `other`, which must not be used any more."""
        with torch.inference_mode():
            self.cache.join(other.cache)
            width = max(self._width, other._width)
            self._hidden = [hidden + width - batch._width for batch in (self, other) for hidden in batch._hidden]
            self._width = width
            self._positions = torch.cat([self._positions, other._positions], dim=1)
            self.rows += other.rows

    def _append(self, scores: Any) -> Tokens:
        """Let each row go on with a token, given the scores."""
        tokens = _pick(scores, self.rows)
        for row, token in zip(self.rows, tokens, strict=True):
            row.written.append(token)
        pairs = zip(self.rows, tokens, strict=True)
        return [(row.choice, token) for row, token in pairs if not row.choice.is_over]

    def _remember(self, number: int, row: Row) -> None:
        keys, size = row.prompt.keys_with(row.written[:-1]), self.cache.bytes_of(row.length)
        if keys is not None:
            self._machine.prefixes.put(keys, size, partial(self.cache.snapshot, number, row.length))

    def _select(self, kept: list[int]) -> None:
        self.cache.select(kept, self._machine.device)
        self._positions = self._positions[:, kept]
        self._hidden = [self._hidden[number] for number in kept]

    def _narrow(self) -> None:
        """Forget the columns that are hidden in every row."""
        if unused := min(self._hidden):
            self.cache.narrow(unused)
            self._width -= unused
            self._hidden = [hidden - unused for hidden in self._hidden]


def _pick(scores: Any, rows: Sequence[Row]) -> list[int]:
    """The next token of each row, given scores (rows, vocabulary)."""
    best: list[int] = scores.argmax(-1).tolist()
    return [
        token if row.choice.is_over or row.choice.sampler.is_plain else row.choice.sampler.pick(scores[number])
        for number, (row, token) in enumerate(zip(rows, best, strict=True))
    ]
