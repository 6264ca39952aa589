"""The loop that answers: between two steps of the model it reads newcomers' prompts and lets go of what is finished.

In each turn a piece of a long prompt is read, or some short ones; then every row that is at work goes one token on. So
a newcomer waits for one step, not for the end of another's answer, and those at work wait for one piece at a time,
however many have come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from contract.tasks.chat import ChatRequest
from workers import engine
from workers.engine import Call, Feed
from workers.engines.transformers_chat.chat_prompt import ChatPrompt
from workers.engines.transformers_chat.decode_batch import DecodeBatch, Tokens
from workers.engines.transformers_chat.machine import Machine
from workers.engines.transformers_chat.prompt_queue import PromptQueue
from workers.engines.transformers_chat.reader import Reader
from workers.step_meter import StepMeter
from workers.toolkit.chat.answer import ChatChoice

Event = tuple[Call[ChatRequest], engine.Output]


class DecodeLoop:
    """Calls on their way from the feed to their last token.

    `open_prompt` makes a call's prompt, `advance` gives a choice its next token and says what to send.
    """

    def __init__(
        self,
        machine: Machine,
        feed: Feed[ChatRequest],
        open_prompt: Callable[[Call[ChatRequest]], ChatPrompt],
        advance: Callable[[ChatChoice, int], Iterator[Event]],
        meter: StepMeter,
    ) -> None:
        self._machine, self._feed, self._advance = machine, feed, advance
        self._meter = meter
        self._queue = PromptQueue(open_prompt)
        self._reader = Reader(machine, self._queue, meter)
        self._batch: DecodeBatch | None = None

    def run(self) -> Iterator[Event]:
        """Answer until nothing is left."""
        try:
            while True:
                self._queue.add(self._feed.take(self._room - self._queue.newcomers))
                if not (self._queue or self._reader or self._batch):
                    return
                yield from self._read()
                yield from self._step()
                self._meter.hold(self._machine.held)
        except GeneratorExit:  # with the last answer's last piece, or because all clients have left
            self._drop_finished()
            self._meter.hold(self._machine.held)
            raise

    @property
    def _room(self) -> int:
        """How many rows more may be at work."""
        working = len(self._batch.rows) if self._batch else 0
        return self._feed.limit - working - self._reader.rows

    def _read(self) -> Iterator[Event]:
        """Read some of the prompts that wait, and let their rows join those at work."""
        busy = self._batch is not None
        self._reader.open(self._room + self._reader.rows, is_anybody_waiting=busy)
        batch = self._reader.advance(is_anybody_waiting=busy)
        while self._queue.refused:
            yield self._queue.refused.popleft()
        if batch is None:
            return
        yield from self._push(batch.first())
        batch.drop_finished()
        if batch.rows and self._batch:
            self._batch.join(batch)
        elif batch.rows:
            self._batch = batch

    def _step(self) -> Iterator[Event]:
        """Let every row at work go one token on."""
        if self._batch is None:
            return
        started = time.perf_counter()
        self._meter.step(len(self._batch.rows))
        tokens = self._batch.step()
        self._machine.pace.stepped(time.perf_counter() - started)
        yield from self._push(tokens)
        self._drop_finished()

    def _drop_finished(self) -> None:
        if self._batch is not None:
            self._batch.drop_finished()
            if not self._batch.rows:
                self._batch = None

    def _push(self, tokens: Tokens) -> Iterator[Event]:
        for choice, token in tokens:
            yield from self._advance(choice, token)
