"""Decides which prompts are read next, and reads them: a piece of a long one, or some short ones together."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.engines.transformers_chat.decode_batch import DecodeBatch
from workers.engines.transformers_chat.machine import Machine
from workers.engines.transformers_chat.prefill import NOTHING, Known, Prefill, are_mergeable, columns_to_read
from workers.engines.transformers_chat.prompt_queue import PromptQueue
from workers.failures import is_fatal, is_out_of_memory, summarize
from workers.step_meter import StepMeter

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Reading:
    """Prompts that are read together, and how far that is; None: not begun."""

    prompts: Sequence[ChatPrompt]
    prefill: Prefill | None = None


class Reader:
    """The prompts that have a row but no token yet.

    A long one is read in pieces, and in every other turn those that are short enough for one piece go before it.
    """

    def __init__(self, machine: Machine, queue: PromptQueue, meter: StepMeter) -> None:
        self._machine, self._queue, self._meter = machine, queue, meter
        self._opened: list[ChatPrompt] = []
        self._long: Reading | None = None
        self._is_turn_of_long = False
        self._matches: dict[ChatPrompt, tuple[int, Known]] = {}

    def __bool__(self) -> bool:
        return bool(self._opened) or self._long is not None

    @property
    def rows(self) -> int:
        """How many rows it will give."""
        prompts = [*self._opened, *(self._long.prompts if self._long else ())]
        return sum(len(prompt.choices) for prompt in prompts)

    def open(self, room: int, *, is_anybody_waiting: bool) -> None:
        """Take prompts from the queue, up to one with images if rows at work wait for it: opening takes a while."""
        while prompt := self._queue.next(room - self.rows):
            self._opened.append(prompt)
            if is_anybody_waiting and (prompt.row.images or prompt.row.whole):
                return

    def advance(self, *, is_anybody_waiting: bool) -> DecodeBatch | None:
        """Read as much as may be read between two steps. Gives the rows of what has been read to its end."""
        self._drop_cancelled()
        limit = self._machine.pace.columns(is_anybody_waiting=is_anybody_waiting)
        reading = self._next(limit)
        if reading is None:
            return None
        was_long = reading is self._long
        try:
            with torch.inference_mode():
                prefill = reading.prefill = reading.prefill or self._begin(reading.prompts)
                scores = self._read(prefill, limit)
                batch = None if scores is None else self._end(prefill, reading.prompts, scores)
        except Exception as error:
            self._long = None if was_long else self._long
            self._fail(reading.prompts, error)
            return None
        if batch is None:
            self._long = reading
        elif was_long:
            self._long = None
        return batch

    def _next(self, limit: int) -> Reading | None:
        """Whose turn it is: the long one's, if there is one, and short ones' in every other turn."""
        self._is_turn_of_long = not self._is_turn_of_long
        if self._long is not None and self._is_turn_of_long:
            return self._long
        prompts = self._choose(limit)
        return Reading(prompts) if prompts else self._long

    def _choose(self, limit: int) -> Sequence[ChatPrompt]:
        """Prompts to begin with: the oldest, with others that fit beside it; beside a long one short ones alone."""
        ready = self._opened if self._long is None else [p for p in self._opened if self._fits([p], limit)]
        group = list(ready[:1])
        for prompt in ready[1:]:
            if self._fits([*group, prompt], limit):
                group.append(prompt)
        self._opened = [prompt for prompt in self._opened if prompt not in group]
        return group

    def _fits(self, prompts: Sequence[ChatPrompt], limit: int) -> bool:
        """Whether the prompts can be read together and in one piece."""
        rows, known = [prompt.row for prompt in prompts], [self._known(prompt) for prompt in prompts]
        if columns_to_read(rows, known) * len(prompts) > limit or any(row.whole for row in rows):
            return False
        alone = len(prompts) == 1
        return alone or (not any(p.failed for p in prompts) and are_mergeable(self._machine, rows, known))

    def _known(self, prompt: ChatPrompt) -> Known:
        """What the prefix cache knows of a prompt; looked up again once there is more in it."""
        prefixes = self._machine.prefixes
        version, known = self._matches.get(prompt, (-1, NOTHING))
        if version != prefixes.version:
            known = NOTHING if prompt.row.whole else prefixes.match(prompt.row.keys)
            self._matches = {p: match for p, match in self._matches.items() if p in self._opened}
            self._matches[prompt] = prefixes.version, known
        return known

    def _begin(self, prompts: Sequence[ChatPrompt]) -> Prefill:
        return Prefill(self._machine, [prompt.row for prompt in prompts], [self._known(prompt) for prompt in prompts])

    def _read(self, prefill: Prefill, limit: int) -> Any:
        started, left = time.perf_counter(), prefill.left
        scores = prefill.advance(limit)
        if self._machine.device.type != "cpu":
            torch.accelerator.synchronize()  # else the step that comes next would seem slow
        if columns := left - prefill.left:
            self._machine.pace.read(columns, time.perf_counter() - started)
        return scores

    def _end(self, prefill: Prefill, prompts: Sequence[ChatPrompt], scores: Any) -> DecodeBatch:
        self._meter.read(sum(map(len, prefill.rows)) - prefill.reused, prefill.reused)
        prefill.remember()
        return DecodeBatch(self._machine, prefill, prompts, scores)

    def _drop_cancelled(self) -> None:
        self._opened = [prompt for prompt in self._opened if prompt.living]
        if self._long and not any(prompt.living for prompt in self._long.prompts):
            self._long = None

    def _fail(self, prompts: Sequence[ChatPrompt], error: Exception) -> None:
        """Each is tried again alone, since one of them may be to blame; one that is alone already is given up."""
        if is_out_of_memory(error) and self._machine.forget():
            log.warning("out of memory: what was kept of earlier conversations is gone, and the prompt is read again")
            self._queue.put_back(prompts)
        elif len(prompts) == 1:
            self._queue.refuse(prompts[0].call, error)
            prompts[0].choices[0].answer.failed = True
        elif is_fatal(error):
            raise error
        else:
            log.warning("prompts that were read together failed and are read one by one: %s", summarize(error))
            self._queue.put_back(replace(prompt, failed=True) for prompt in prompts)
