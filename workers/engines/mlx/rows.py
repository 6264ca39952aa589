"""The running choices of a model, and those that wait for a row, for their grammar or for their prompt to be read."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from workers.engines.mlx.decoding import Decoder
from workers.engines.mlx.prompt_scores import PromptScores
from workers.engines.mlx.prompts import MlxPrompt
from workers.toolkit.chat.answer import ChatChoice
from workers.toolkit.chat.constraints.token_constraint import TokenConstraint

Begun = tuple[ChatChoice, MlxPrompt]
"""A choice and what it answers."""
_Waiting = tuple[int, int, ChatChoice, MlxPrompt]
"""A choice in its order: by its index, then by its arrival."""


class Rows:
    """The running choices by their row of the decoder, and the waiting choices.

    Lower choice indices have priority, so a request for a hundred choices does not block other requests.
    """

    def __init__(self, decoder: Decoder, limit: int) -> None:
        self._decoder = decoder
        self._limit = limit
        self._running: dict[int, ChatChoice] = {}
        self._waiting: list[_Waiting] = []
        self._unread: list[_Waiting] = []
        self._order = count()

    @property
    def calls(self) -> int:
        """The number of running and waiting calls."""
        waiting = [*self._waiting, *self._unread]
        choices = [*self._running.values(), *(choice for _, _, choice, _ in waiting)]
        return len({id(choice.answer) for choice in choices if not choice.is_finished})

    def add(self, choice: ChatChoice, prompt: MlxPrompt) -> None:
        """Add a waiting choice."""
        heapq.heappush(self._waiting, (choice.index, next(self._order), choice, prompt))

    def add_unread(self, choice: ChatChoice, prompt: MlxPrompt) -> None:
        """Add a choice whose prompt is read first, because its tokens are reported."""
        heapq.heappush(self._unread, (choice.index, next(self._order), choice, prompt))

    def next_unread(self) -> Begun | None:
        """The choice whose prompt is read next; None if there is none, or if another prompt waits for a row.

        So at most one prompt is read ahead of the free rows: its KV cache takes memory.
        """
        while self._unread and self._unread[0][2].is_finished:
            heapq.heappop(self._unread)
        if not self._unread or any(prompt.scores for _, _, _, prompt in self._waiting):
            return None
        _, _, choice, prompt = self._unread[0]
        return choice, prompt

    def read(self, scores: PromptScores) -> bool:
        """Read a chunk of the next unread prompt. Returns whether everything is read, which ends its choice's wait."""
        if not scores.is_read:
            self._decoder.read(scores)
        if scores.is_read:
            heapq.heappop(self._unread)
        return scores.is_read

    def fill(self) -> bool:
        """Drop finished rows and start waiting choices in the free ones. Returns False if no row is running.

        A choice whose grammar is still being compiled goes on waiting, and others are started before it.
        """
        finished = [row for row, choice in self._running.items() if choice.is_finished]
        self._decoder.drop(finished)
        for row in finished:
            del self._running[row]
        unready = []
        while self._waiting and len(self._running) < self._limit:
            _, _, choice, prompt = item = heapq.heappop(self._waiting)
            if choice.is_finished:
                continue
            if not choice.is_ready:
                unready.append(item)
            else:
                row, reused = self._decoder.add(prompt, choice.limit, choice.sampler)
                self._running[row] = choice
                choice.answer.note_cached(choice, reused)
        for item in unready:
            heapq.heappush(self._waiting, item)
        return bool(self._running)

    @property
    def are_unread(self) -> bool:
        """Whether prompts wait to be read because their tokens are reported."""
        return bool(self._unread)

    @property
    def are_waiting(self) -> bool:
        """Whether choices wait for a free row or for their grammar."""
        return bool(self._waiting)

    @property
    def compiling(self) -> list[TokenConstraint]:
        """The constraints of waiting choices that are still being compiled."""
        choices = [choice for _, _, choice, _ in self._waiting if not (choice.is_finished or choice.is_ready)]
        return [choice.constraint for choice in choices if choice.constraint is not None]

    def step(self) -> Iterator[tuple[ChatChoice, int]]:
        """Decode a step. Yields the next token of each choice that is not cancelled or finished."""
        for row, token in self._decoder.step():
            choice = self._running[row]
            if not choice.is_finished:
                yield choice, token
