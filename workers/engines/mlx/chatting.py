"""Answers conversations with one model: calls join while others are decoded, and leave as soon as they are answered."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Any

from contract.errors import ServeError
from contract.tasks.chat import ChatRequest
from workers.engine import Call, Feed
from workers.engines.mlx.decoding import Decoder
from workers.engines.mlx.loading import LoadedMlx
from workers.engines.mlx.prefix_cache import MlxPrefixCache
from workers.engines.mlx.prompts import MlxPrompt, MlxPrompts
from workers.engines.mlx.sampling import MlxSampler
from workers.failures import to_serve_error
from workers.step_meter import StepMeter
from workers.toolkit.chat.answer import ChatAnswer, ChatChoice

_UNBOUNDED = 4096
"""Tokens of an answer for which neither the model nor the request knows a bound."""

Pieces = Iterator[tuple[Call[ChatRequest], Any]]


class MlxChat:
    """A loaded model that talks."""

    def __init__(self, loaded: LoadedMlx, prompts: MlxPrompts, prefixes: MlxPrefixCache) -> None:
        self.loaded = loaded
        self._prefixes = prefixes
        self.prompts = prompts
        self.recommended = loaded.checkpoint.read("generation_config.json")
        self._name = loaded.checkpoint.spec.id

    def run(self, feed: Feed[ChatRequest], meter: StepMeter) -> Pieces:
        """Take calls as there is room, and answer them together a token a step."""
        with closing(Decoder(self.loaded, feed.limit, self._prefixes, meter)) as decoder:
            rows = _Rows(decoder, feed.limit)
            while True:
                newcomers = feed.take(min(1, feed.limit - rows.calls))  # one a step: reading a picture takes its time
                for call in newcomers:
                    yield from self._begin(call, rows)
                if not rows.fill() and not newcomers:
                    return
                for choice, token in rows.step():
                    yield from self._advance(choice, token)

    def _begin(self, call: Call[ChatRequest], rows: _Rows) -> Pieces:
        """Make its choices wait for their rows, or say why it cannot be answered."""
        try:
            prompt = self.prompts.read(call.request)
            left = self.prompts.room(prompt)
        except ServeError as error:
            yield call, error
            return
        except Exception as error:  # its own failure, not that of those at work
            yield call, to_serve_error(error)
            return
        asked = call.request.limit or self.recommended.get("max_new_tokens")
        limit = min((limit for limit in (left, asked) if limit is not None), default=_UNBOUNDED)
        answer = ChatAnswer(call, self._name)
        answer.prompt_tokens = len(prompt.tokens)
        for index in range(call.request.n or 1):
            sampler = MlxSampler(call.request, self.recommended, index, prompt.tokens)
            choice = ChatChoice(answer, index, sampler, self._decode, limit)
            answer.choices.append(choice)
            rows.add(choice, prompt)

    def _decode(self, tokens: list[int]) -> str:
        text: str = self.loaded.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _advance(self, choice: ChatChoice, token: int) -> Pieces:
        answer = choice.answer
        text = choice.push(token, self.loaded.ends)
        answer.call.progress(choice.tokens, choice.limit)
        for chunk in answer.chunks(choice, text):
            yield answer.call, chunk
        if answer.is_complete:
            yield answer.call, answer.usage()
            yield answer.call, None


class _Rows:
    """The choices at work, each a row of the decoder, and those that wait for one.

    First choices go first: a request for a hundred answers does not keep others waiting.
    """

    def __init__(self, decoder: Decoder, most: int) -> None:
        self._decoder = decoder
        self._most = most
        self._working: dict[int, ChatChoice] = {}
        self._waiting: list[tuple[int, int, ChatChoice, MlxPrompt]] = []
        self._order = count()

    @property
    def calls(self) -> int:
        """How many calls are not answered yet."""
        choices = [*self._working.values(), *(choice for _, _, choice, _ in self._waiting)]
        return len({id(choice.answer) for choice in choices if not choice.is_finished})

    def add(self, choice: ChatChoice, prompt: MlxPrompt) -> None:
        """Let it wait for a row."""
        heapq.heappush(self._waiting, (choice.index, next(self._order), choice, prompt))

    def fill(self) -> bool:
        """Give the free rows to those that wait. False if no row is running."""
        over = [row for row, choice in self._working.items() if choice.is_finished]
        self._decoder.drop(over)
        for row in over:
            del self._working[row]
        while self._waiting and len(self._working) < self._most:
            _, _, choice, prompt = heapq.heappop(self._waiting)
            if not choice.is_finished:
                self._working[self._decoder.add(prompt, choice.limit, choice.sampler)] = choice
        return bool(self._working)

    def step(self) -> Iterator[tuple[ChatChoice, int]]:
        """The next tokens of those whose clients are still there."""
        for row, token in self._decoder.step():
            choice = self._working[row]
            if not choice.is_finished:
                yield choice, token
