"""The state of one chat answer: its choices, when and why each is finished, and the chunks to send to the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Any

from contract.errors import ServeError
from contract.tasks.chat import ChatChunk, ChatRequest, Logprobs, TokenLogprob
from workers.engine import Call
from workers.toolkit.chat.chunks import ChatChunks
from workers.toolkit.chat.constraints.token_constraint import TokenConstraint
from workers.toolkit.chat.detokenizer import Detokenizer, StopStrings


class ChatChoice:
    """One of the `n` choices of a request: takes tokens, returns text, and knows when it is finished."""

    def __init__(
        self, answer: ChatAnswer, index: int, sampler: Any, decode: Callable[[list[int]], str], limit: int = 1
    ) -> None:
        self.answer = answer
        self.index = index
        self.sampler = sampler
        self.limit = limit  # the maximum number of tokens
        self.tokens = 0  # the number of tokens so far
        self.finish_reason: str | None = None  # "stop" or "length", once finished
        self.constraint: TokenConstraint | None = None  # what the answer must keep to
        self.logprobs: list[TokenLogprob] = []  # of tokens that no chunk has reported yet
        self._detokenizer = Detokenizer(decode)
        self._stops = StopStrings(answer.call.request.stops)

    @property
    def is_finished(self) -> bool:
        """Whether it needs no further token: it is complete, its answer failed, or its call was cancelled."""
        return self.finish_reason is not None or self.answer.failed or self.answer.call.cancelled

    def push(self, token: int, end_tokens: Set[int]) -> str:
        """Add the next token. Returns the text that can be sent now. A token in `end_tokens` ends the choice."""
        self.tokens += 1
        if token in end_tokens:
            return self._finish("stop", "")
        if self.constraint is not None:
            self.constraint.advance(self.tokens, token)
        text = self._stops.push(self._detokenizer.push(token))
        if self._stops.is_matched:
            self.finish_reason = "stop"
        elif self.constraint is not None and self.constraint.is_complete(self.tokens):
            return self._finish("stop", text)
        elif self.tokens >= self.limit:
            return self._finish("length", text)
        return text

    def report_logprobs(self, chunk: ChatChunk) -> None:
        """Put the probabilities of the tokens since the last chunk into a chunk of this choice."""
        if self.logprobs:
            chunk.choices[0].logprobs = Logprobs(content=self.logprobs)
            self.logprobs = []

    def _finish(self, reason: str, text: str) -> str:
        """Finish, and add the text that was held back up to a stop string in it."""
        text += self._stops.push(self._detokenizer.flush())
        self.finish_reason = "stop" if self._stops.is_matched else reason
        return text + self._stops.flush()


class ChatAnswer:
    """The answer to one call: `n` choices under one id."""

    def __init__(self, call: Call[ChatRequest], model: str) -> None:
        self.call = call
        self.prompt_tokens = 0
        self.failed = False  # if one choice fails, the whole answer does
        self.choices: list[ChatChoice] = []
        self._chunks = ChatChunks(call.request.model or model)
        self._started: set[int] = set()  # the choices whose first chunk has been made

    @property
    def is_complete(self) -> bool:
        """Whether all choices are complete."""
        return all(choice.finish_reason for choice in self.choices)

    def chunks(self, choice: ChatChoice, text: str) -> Iterator[ChatChunk]:
        """The chunks to send after a token of `choice` that completed `text`."""
        is_first = choice.index not in self._started
        self._started.add(choice.index)
        if is_first:
            yield self._chunks.begin(choice.index, text)
        else:
            yield from self._chunks.piece(choice.index, text)
        if choice.finish_reason:
            yield self._chunks.end(choice.index, choice.finish_reason)

    def advance(
        self, choice: ChatChoice, token: int, end_tokens: Set[int]
    ) -> Iterator[tuple[Call[ChatRequest], ChatChunk | ServeError | None]]:
        """Add the next token to a choice. Yields what to send, as engines do: chunks, then None after the last.

        Yields an error instead if the choice can no longer keep to its constraint.
        """
        text = choice.push(token, end_tokens)
        if choice.constraint is not None and choice.constraint.error is not None:
            self.failed = True
            yield self.call, choice.constraint.error
            return
        self.call.progress(choice.tokens, choice.limit)
        for chunk in self.chunks(choice, text):
            choice.report_logprobs(chunk)
            yield self.call, chunk
        if self.is_complete:
            yield self.call, self.usage()
            yield self.call, None

    def usage(self) -> ChatChunk:
        """The last chunk, which has the number of tokens of prompt and choices."""
        return self._chunks.usage(self.prompt_tokens, sum(choice.tokens for choice in self.choices))
