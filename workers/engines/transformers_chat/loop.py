"""The loop that answers: between two steps of the model it takes newcomers in and lets go of who is finished.

In each turn at most one prompt with pictures, or some short ones without, are read; then every row that is at work
goes one token on. So a newcomer waits for one step, not for the end of anybody's answer, and those at work wait for
one prompt at a time, however many have come.

Newcomers join the batch at work where the cache allows it (`caches`, `Batch.is_open`). Where it does not, they go on
as a batch of their own, a step of each in turn: slower, but nobody waits for the end of another's answer either. Only
a model that may keep something of its rows itself (code of its own, positions it does not tell) has one batch after
another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from contract.tasks.chat import ChatRequest
from workers import engine
from workers.engine import Call, Feed
from workers.engines.transformers_chat.decoding import Batch, Prompt, Tokens
from workers.engines.transformers_chat.line import Line
from workers.failures import is_fatal, summarize
from workers.toolkit.chat.answer import ChatChoice

log = logging.getLogger(__name__)

Event = tuple[Call[ChatRequest], engine.Output]


class Loop:
    """Calls on their way from the feed to their last token.

    `read` makes a call's prompt, `advance` gives a choice its next token and tells what to send.
    """

    def __init__(
        self,
        model: Any,
        feed: Feed[ChatRequest],
        read: Callable[[Call[ChatRequest]], Prompt],
        advance: Callable[[ChatChoice, int], Iterator[Event]],
    ) -> None:
        self._model, self._feed, self._advance = model, feed, advance
        self._line = Line(read)
        self._batches: list[Batch] = []

    def run(self) -> Iterator[Event]:
        """Answer until nobody is left."""
        while True:
            self._line.add(self._feed.take(self._room - self._line.newcomers))
            if not (self._line or self._batches):
                return
            yield from self._begin()
            for batch in self._batches:
                yield from self._push(batch.step())
                batch.drop_finished()
            self._batches = [batch for batch in self._batches if batch.choices]

    @property
    def _room(self) -> int:
        """How many rows more may be at work."""
        return self._feed.limit - sum(len(batch.choices) for batch in self._batches)

    def _push(self, tokens: Tokens) -> Iterator[Event]:
        for choice, token in tokens:
            yield from self._advance(choice, token)

    def _begin(self) -> Iterator[Event]:
        """Read some of the prompts that wait, and let their rows join those at work."""
        if any(batch.is_exclusive for batch in self._batches):
            return
        group = self._line.next(self._room)
        batch, tokens = self._start(group) if group else (None, [])
        while self._line.refused:
            yield self._line.refused.popleft()
        if batch is None:
            return
        yield from self._push(tokens)
        batch.drop_finished()
        if batch.choices and not any(running.join(batch) for running in self._batches):
            self._batches.append(batch)

    def _start(self, group: list[Prompt]) -> tuple[Batch | None, Tokens]:
        """Read these prompts. None: they could not be read, and are back in the line or given up."""
        try:
            batch = Batch.of(self._model, group)
            if batch.processors and len(group) > 1:
                self._line.singly = True  # padding would count among the tokens so far
                self._line.put_back(group)
                return None, []
            tokens = batch.start(group)
        except Exception as error:
            self._fail(group, error)
            return None, []
        self._line.put_back(rest for prompt in group if (rest := prompt.without(batch.choices)).choices)
        return batch, tokens

    def _fail(self, group: list[Prompt], error: Exception) -> None:
        """Each is tried again alone, since one of them may be to blame; who is alone already is given up."""
        if len(group) == 1:
            self._line.refuse(group[0].call, error)
            group[0].choices[0].answer.failed = True
        elif is_fatal(error):
            raise error
        else:
            log.warning("prompts that were read together failed and are read one by one: %s", summarize(error))
            self._line.put_back(replace(prompt, failed=True) for prompt in group)
