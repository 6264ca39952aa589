"""The decode loop: between two decode steps it reads prompts of waiting requests and removes finished rows.

Each iteration reads a chunk of a long prompt or several short prompts, then decodes one token for every running row. So
a new request waits for one step instead of for the end of another answer, and running requests wait for one chunk at a
time, however many requests arrive. Rows that are read while their grammar is still being compiled join once it is.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from workers.engine import Feed
from workers.engines.transformers_chat.answer_maker import AnswerMaker
from workers.engines.transformers_chat.decode_batch import DecodeBatch, Tokens
from workers.engines.transformers_chat.model_runner import ModelRunner
from workers.engines.transformers_chat.prefill_scheduler import PrefillScheduler
from workers.engines.transformers_chat.prompt_queue import PromptQueue
from workers.step_meter import StepMeter
from workers.toolkit.chat.answer import AnswerEvent
from workers.toolkit.chat.constraints.token_constraint import wait_a_moment


class DecodeLoop:
    """Takes calls from the feed and answers them."""

    def __init__(
        self,
        runner: ModelRunner,
        feed: Feed[Any],
        answers: AnswerMaker,
        meter: StepMeter,
    ) -> None:
        self._runner, self._feed, self._answers = runner, feed, answers
        self._meter = meter
        self._queue = PromptQueue(answers.open)
        self._prefills = PrefillScheduler(runner, self._queue, meter)
        self._batch: DecodeBatch | None = None
        self._waiting: list[DecodeBatch] = []  # for their grammars

    def run(self) -> Iterator[AnswerEvent]:
        """Run until no call is left."""
        try:
            while True:
                self._queue.add(self._feed.take(self._room - self._queue.waiting_calls))
                if not (self._queue or self._prefills or self._batch or self._waiting):
                    return
                yield from self._read()
                yield from self._start()
                yield from self._step()
                self._meter.hold(self._runner.held)
        except GeneratorExit:  # the batcher closes the loop when no client needs more output; keep what was computed
            self._drop_finished()
            self._meter.hold(self._runner.held)
            raise

    @property
    def _room(self) -> int:
        """The number of free rows."""
        batches = [*self._waiting, *([self._batch] if self._batch else [])]
        return self._feed.limit - sum(len(batch.rows) for batch in batches) - self._prefills.rows

    def _read(self) -> Iterator[AnswerEvent]:
        """Read a chunk of waiting prompts."""
        is_decoding = self._batch is not None
        self._prefills.open(self._room + self._prefills.rows, is_decoding=is_decoding)
        batch = self._prefills.advance(is_decoding=is_decoding)
        while self._queue.refused:
            yield self._queue.refused.popleft()
        if batch is not None:
            self._waiting.append(batch)

    def _start(self) -> Iterator[AnswerEvent]:
        """Add the rows of prompts that are read to the batch, as soon as their grammars are compiled."""
        compiling = {batch: batch.compiling for batch in self._waiting}
        self._waiting = [batch for batch, constraints in compiling.items() if constraints]
        for batch in (batch for batch, constraints in compiling.items() if not constraints):
            for row in batch.rows:
                if not row.choice.is_finished:
                    yield from self._answers.begin(row.choice)
            yield from self._push(batch.first())
            batch.drop_finished()
            if batch.rows and self._batch:
                self._batch.join(batch)
            elif batch.rows:
                self._batch = batch
        if self._waiting and not (self._batch or self._prefills):
            wait_a_moment(itertools.chain(*(compiling[batch] for batch in self._waiting)))

    def _step(self) -> Iterator[AnswerEvent]:
        """Decode one token for every row."""
        if self._batch is None:
            return
        started = time.perf_counter()
        self._meter.step(len(self._batch.rows))
        tokens = self._batch.step()
        self._runner.chunk_sizer.note_step(time.perf_counter() - started)
        yield from self._push(tokens)
        self._drop_finished()

    def _drop_finished(self) -> None:
        if self._batch is not None:
            self._batch.drop_finished()
            if not self._batch.rows:
                self._batch = None

    def _push(self, tokens: Tokens) -> Iterator[AnswerEvent]:
        for choice, token in tokens:
            if not choice.is_finished:  # another choice's failure ends it
                yield from self._answers.advance(choice, token)
