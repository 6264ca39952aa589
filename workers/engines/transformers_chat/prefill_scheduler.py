"""Chooses which prompts to read next and reads them: a chunk of a long prompt, or several short prompts together."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.engines.transformers_chat.decode_batch import DecodeBatch
from workers.engines.transformers_chat.model_runner import ModelRunner
from workers.engines.transformers_chat.prefill import (
    NO_PREFIX,
    CachedPrefix,
    Prefill,
    are_mergeable,
    columns_to_read,
    limit_of,
)
from workers.engines.transformers_chat.prompt_queue import PromptQueue
from workers.failures import is_fatal, is_out_of_memory, summarize
from workers.step_meter import StepMeter

log = logging.getLogger(__name__)


@dataclass(eq=False)
class PrefillJob:
    """Prompts that are read together. `prefill` is None until reading starts."""

    prompts: Sequence[ChatPrompt]
    prefill: Prefill | None = None


class PrefillScheduler:
    """Reads the prompts that have reserved their rows.

    One long prompt at a time is read in chunks. Every other iteration reads prompts that fit into one chunk.
    """

    def __init__(self, runner: ModelRunner, queue: PromptQueue, meter: StepMeter) -> None:
        self._runner, self._queue, self._meter = runner, queue, meter
        self._opened: list[ChatPrompt] = []
        self._long: PrefillJob | None = None
        self._is_turn_of_long = False
        self._matches: dict[ChatPrompt, tuple[int, CachedPrefix]] = {}

    def __bool__(self) -> bool:
        return bool(self._opened) or self._long is not None

    @property
    def rows(self) -> int:
        """The number of rows that these prompts have reserved."""
        prompts = [*self._opened, *(self._long.prompts if self._long else ())]
        return sum(len(prompt.choices) for prompt in prompts)

    def open(self, room: int, *, is_decoding: bool) -> None:
        """Take prompts from the queue. While rows are decoding, stop after one with images, which take long to open."""
        while prompt := self._queue.next(room - self.rows):
            self._opened.append(prompt)
            if is_decoding and (prompt.row.images or prompt.row.whole):
                return

    def advance(self, *, is_decoding: bool) -> DecodeBatch | None:
        """Read as much as fits between two decode steps. Returns a batch of the prompts that are completely read."""
        self._drop_cancelled()
        limit = self._runner.chunk_sizer.size(is_decoding=is_decoding)
        job = self._next(limit)
        if job is None:
            return None
        was_long = job is self._long
        try:
            with torch.inference_mode():
                prefill = job.prefill = job.prefill or self._begin(job.prompts)
                scores = self._read(prefill, limit)
                batch = None if scores is None else self._end(prefill, job.prompts, scores)
        except Exception as error:
            self._long = None if was_long else self._long
            self._fail(job.prompts, error)
            return None
        if batch is None:
            self._long = job
        elif was_long:
            self._long = None
        return batch

    def _next(self, limit: int) -> PrefillJob | None:
        """What to read now: the long prompt and short prompts take turns."""
        self._is_turn_of_long = not self._is_turn_of_long
        if self._long is not None and self._is_turn_of_long:
            return self._long
        prompts = self._choose(limit)
        return PrefillJob(prompts) if prompts else self._long

    def _choose(self, limit: int) -> Sequence[ChatPrompt]:
        """The oldest prompt, and others that fit into its chunk. Only short prompts start while a long one is read."""
        ready = self._opened if self._long is None else [p for p in self._opened if self._fits([p], limit)]
        group = list(ready[:1])
        for prompt in ready[1:]:
            if self._fits([*group, prompt], limit):
                group.append(prompt)
        self._opened = [prompt for prompt in self._opened if prompt not in group]
        return group

    def _fits(self, prompts: Sequence[ChatPrompt], limit: int) -> bool:
        """Whether the prompts can be read together, in one chunk."""
        rows, prefixes = [prompt.row for prompt in prompts], [self._cached_prefix(prompt) for prompt in prompts]
        columns = columns_to_read(rows, prefixes)
        if columns * len(prompts) > limit or columns > limit_of(rows, limit) or any(row.whole for row in rows):
            return False
        if len(prompts) == 1:
            return True
        # A prompt whose grammar is still being compiled must not keep others from their first tokens.
        if any(prompt.failed or not prompt.is_ready for prompt in prompts):
            return False
        return are_mergeable(self._runner, rows, prefixes)

    def _cached_prefix(self, prompt: ChatPrompt) -> CachedPrefix:
        """The cached prefix of a prompt, looked up again only if the prefix cache has changed."""
        cache = self._runner.prefixes
        version, prefix = self._matches.get(prompt, (-1, NO_PREFIX))
        if version != cache.version:
            row = prompt.row
            must_read = row.whole or row.alternatives is not None  # the scores of cached tokens are not kept
            prefix = NO_PREFIX if must_read or not cache.limit else cache.match(row.keys)
            self._matches = {p: match for p, match in self._matches.items() if p in self._opened}
            self._matches[prompt] = cache.version, prefix
        return prefix

    def _begin(self, prompts: Sequence[ChatPrompt]) -> Prefill:
        prefixes = [self._cached_prefix(prompt) for prompt in prompts]
        self._matches.clear()  # it references prompts, and thereby images
        return Prefill(self._runner, [prompt.row for prompt in prompts], prefixes)

    def _read(self, prefill: Prefill, limit: int) -> Any:
        started, unread = time.perf_counter(), prefill.unread
        scores = prefill.advance(limit)
        if self._runner.device.type != "cpu":
            torch.accelerator.synchronize()  # without it, this time would count for the next step
        if columns := unread - prefill.unread:
            self._runner.chunk_sizer.note_chunk(columns, time.perf_counter() - started)
        return scores

    def _end(self, prefill: Prefill, prompts: Sequence[ChatPrompt], scores: Any) -> DecodeBatch:
        reused = sum(prefill.reused)
        self._meter.read(sum(map(len, prefill.rows)) - reused, reused)
        for prompt, tokens, picked in zip(prompts, prefill.reused, prefill.picked, strict=True):
            prompt.note_read(tokens, picked)
        prefill.remember()
        return DecodeBatch(self._runner, prefill, prompts, scores)

    def _drop_cancelled(self) -> None:
        self._opened = [prompt for prompt in self._opened if prompt.unfinished]
        if self._long and not any(prompt.unfinished for prompt in self._long.prompts):
            self._long = None

    def _fail(self, prompts: Sequence[ChatPrompt], error: Exception) -> None:
        """Retry each prompt alone, since only one of them may be the cause; fail a prompt that was read alone."""
        if is_out_of_memory(error) and self._runner.forget():
            log.warning("out of memory: emptied the prefix and image caches; reading the prompt again")
            self._queue.put_back(prompts)
        elif len(prompts) == 1:
            self._queue.refuse(prompts[0].call, error)
            prompts[0].choices[0].answer.failed = True
        elif is_fatal(error):
            raise error
        else:
            log.warning("reading several prompts together failed; reading them one by one: %s", summarize(error))
            self._queue.put_back(replace(prompt, failed=True) for prompt in prompts)
