"""One answer as it grows: its choices, when each is finished and why, and the chunks that tell it to the client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Any

from contract.tasks.chat import ChatChunk, ChatRequest
from workers.engine import Call
from workers.toolkit.chat.reply import ChatChunks
from workers.toolkit.chat.text import Detokenizer, Stops


class ChatChoice:
    """One of a request's `n` answers: takes tokens, gives text, knows when it is finished."""

    def __init__(
        self, answer: ChatAnswer, index: int, sampler: Any, decode: Callable[[list[int]], str], limit: int = 1
    ) -> None:
        self.answer = answer
        self.index = index
        self.sampler = sampler
        self.limit = limit  # the most tokens that it may have
        self.tokens = 0
        self.reason: str | None = None  # "stop" or "length", once finished
        self._text = Detokenizer(decode)
        self._stops = Stops(answer.call.request.stops)

    @property
    def is_over(self) -> bool:
        """Whether it needs no further token."""
        return self.reason is not None or self.answer.failed or self.answer.call.cancelled

    def push(self, token: int, ends: Set[int]) -> str:
        """Take the next token; `ends` are those that end an answer. Gives the text that may go out."""
        self.tokens += 1
        if token in ends:
            return self._finish("stop", "")
        text = self._stops.push(self._text.push(token))
        if self._stops.found:
            self.reason = "stop"
        elif self.tokens >= self.limit:
            return self._finish("length", text)
        return text

    def _finish(self, reason: str, text: str) -> str:
        """No more tokens: what was held back goes out, unless a stop text is in it."""
        text += self._stops.push(self._text.flush())
        self.reason = "stop" if self._stops.found else reason
        return text + self._stops.flush()


class ChatAnswer:
    """A call's answer: `n` choices under one id."""

    def __init__(self, call: Call[ChatRequest], model: str) -> None:
        self.call = call
        self.prompt_tokens = 0
        self.failed = False  # for one of its choices, and thereby as a whole
        self.choices: list[ChatChoice] = []
        self._reply = ChatChunks(call.request.model or model)
        self._begun: set[int] = set()

    @property
    def is_complete(self) -> bool:
        return all(choice.reason for choice in self.choices)

    def chunks(self, choice: ChatChoice, text: str) -> Iterator[ChatChunk]:
        """What to send after a token of `choice` that made `text` ready."""
        first = choice.index not in self._begun
        self._begun.add(choice.index)
        if first:
            yield self._reply.begin(choice.index, text)
        else:
            yield from self._reply.piece(choice.index, text)
        if choice.reason:
            yield self._reply.end(choice.index, choice.reason)

    def usage(self) -> ChatChunk:
        """The last chunk: what the answer took."""
        return self._reply.usage(self.prompt_tokens, sum(choice.tokens for choice in self.choices))
